"""Words that are found at once have the ids and places that SentencePiece gives them."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigbird_inference.tokenization import sentencepiece_vocabulary
from bigbird_inference.tokenization.normal_form import code_points
from bigbird_inference.tokenization.sentencepiece_vocabulary import SentencePieceVocabulary
from bigbird_inference.tokenization.whole_pieces import is_byte_pair
from tests.bigbird_inference.tokenization.documents import HARD_PARTS, documents
from tests.vocabularies import CORPUS, SPECIAL_PIECES, retype_user_defined_pieces, train_vocabulary

WORDS = sorted({word for sentence in CORPUS for word in sentence.split()})
MARKS = ["", " ", "  ", "\n", ",", ".", "-", "(", "'", "»", "s", "2", "☃", "☃☃", "▁"]
texts = st.one_of(
    documents,
    st.lists(st.sampled_from([*WORDS, *MARKS, *HARD_PARTS]), max_size=30).map(" ".join),
    st.lists(st.sampled_from([*WORDS, *MARKS]), max_size=30).map("".join),
)

VOCABULARIES: dict[str, dict[str, Any]] = {
    "bytes": {"vocab_size": 700, "byte_fallback": True, "control_symbols": list(SPECIAL_PIECES[1:])},
    "unknown pieces": {"vocab_size": 300, "character_coverage": 0.98},
    "user-defined pieces": {"vocab_size": 400, "user_defined_symbols": ["<s>", "offi", "o", "2.5", "☃"]},
    "unused pieces": {"vocab_size": 400, "user_defined_symbols": ["<s>", "offi", "the", "2.5"]},
    "pieces that span words": {"vocab_size": 500, "split_by_whitespace": False},
    "spaces that end pieces": {"vocab_size": 400, "treat_whitespace_as_suffix": True},
    "spaces that are kept": {"vocab_size": 400, "remove_extra_whitespaces": False, "add_dummy_prefix": False},
    "lower case": {"vocab_size": 400, "normalization_rule_name": "nmt_nfkc_cf"},
}


@pytest.fixture(scope="module", params=VOCABULARIES)
def vocabulary(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SentencePieceVocabulary:
    prefix = tmp_path_factory.mktemp("byte_pairs") / "byte_pairs"
    path = train_vocabulary(prefix, model_type="bpe", **VOCABULARIES[request.param])
    if request.param == "unused pieces":
        path = retype_user_defined_pieces(path, path.with_name("retyped.model"))
    return SentencePieceVocabulary.load(path)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=texts)
def test_ids_and_places_are_those_of_sentencepiece(
    vocabulary: SentencePieceVocabulary, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentencepiece_vocabulary, "_SHORT", 0)
    expected = vocabulary.processor.encode(text, return_type="offset_mapping")
    assert vocabulary.ids(text).tolist() == expected["ids"]
    found = vocabulary.tokens(text)
    assert found.ids.tolist() == expected["ids"]
    by_sentencepiece = replace(vocabulary, origins=None, whole=None).tokens(text)
    assert found.starts.tolist() == by_sentencepiece.starts.tolist()
    assert found.ends.tolist() == by_sentencepiece.ends.tolist()


def test_words_and_marks_are_found_and_other_words_are_left_whole(tmp_path_factory: pytest.TempPathFactory) -> None:
    prefix = tmp_path_factory.mktemp("found") / "found"
    vocabulary = SentencePieceVocabulary.load(train_vocabulary(prefix, model_type="bpe", vocab_size=700))
    assert vocabulary.whole is not None
    normal = "▁the▁office,▁unofficial:▁budget."
    found = vocabulary.whole.find(code_points(normal))
    pieces = [vocabulary.processor.id_to_piece(index) for index in found.ids.tolist()]
    assert pieces == ["▁the", "▁office", ",", "▁budget", "."]
    assert found.lengths.tolist() == [4, 7, 1, 7, 1]
    assert found.lasts.tolist() == [3, 10, 11, 30, 31]
    assert "".join(letter for letter, left in zip(normal, found.left.tolist(), strict=True) if left) == "▁unofficial:"


@pytest.mark.parametrize(("kind", "expected"), [("bpe", True), ("unigram", False), ("word", False), ("char", False)])
def test_the_kind_of_a_model_is_read_from_its_file(
    kind: str, expected: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = train_vocabulary(tmp_path_factory.mktemp(kind) / kind, model_type=kind, vocab_size=300)
    assert is_byte_pair(path.read_bytes()) is expected
    assert (SentencePieceVocabulary.load(path).whole is not None) is expected
