"""Extra checks with the vocabulary that the BigBird authors released, where it is at hand."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigbird_inference.errors import BundleError
from bigbird_inference.tokenization.tokenizer import Tokenizer
from tests.bigbird_inference.tokenization.documents import documents
from tests.bigbird_inference.tokenization.whole_texts import check_consumed, check_parts
from tests.vocabularies import retype_user_defined_pieces

RELEASED = Path(os.environ.get("BIGBIRD_TESTS_RELEASED_VOCABULARY", ""))

pytestmark = pytest.mark.skipif(not RELEASED.is_file(), reason="BIGBIRD_TESTS_RELEASED_VOCABULARY does not name a file")


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    target = tmp_path_factory.mktemp("released") / "tokenizer.model"
    return Tokenizer(retype_user_defined_pieces(RELEASED, target), cls_id=65, sep_id=66, pad_id=0, mask_id=67).load()


def test_as_released_a_text_could_hold_a_separator() -> None:
    with pytest.raises(BundleError, match="a text can contain it"):
        Tokenizer(RELEASED, cls_id=65, sep_id=66, pad_id=0, mask_id=67).load()


def test_known_pieces_have_their_released_ids(released: Tokenizer) -> None:
    tokens = released.tokenize("Hello  é")
    assert tokens.ids.tolist() == [18536, 16369]
    assert list(zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True)) == [(0, 5), (7, 8)]


@settings(max_examples=200, deadline=None)
@given(text=documents)
def test_spans_and_ids_of_any_document(released: Tokenizer, text: str) -> None:
    tokens = released.tokenize(text)
    assert {0, 1, 2, 65, 66, 67}.isdisjoint(tokens.ids.tolist())
    for start, end in zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True):
        assert 0 <= start <= end <= len(text)
        assert text[start:end] == text[start:end].strip()
    assert tokens.starts.tolist() == sorted(tokens.starts.tolist())
    assert tokens.ends.tolist() == sorted(tokens.ends.tolist())


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=documents, size=st.integers(1, 20))
def test_parts_and_arrays_tell_what_sentencepiece_tells(
    released: Tokenizer, text: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_consumed(released.vocabulary, text)
    check_parts(released.vocabulary, text, size, monkeypatch)
