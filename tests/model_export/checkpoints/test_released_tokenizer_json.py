"""Extra checks with the vocabulary that the BigBird authors released, where it is at hand, saved by transformers."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings

from bigbird_inference.tokenization.tokenizer import Tokenizer
from model_export.export.tokenizer import write_tokenizer
from tests.bigbird_inference.tokenization.documents import documents
from tests.model_export.checkpoints.tokenizer_files import (
    SPACE,
    Converted,
    as_transformers_4,
    saved_by_transformers_5,
    write_json,
)

RELEASED = Path(os.environ.get("BIGBIRD_TESTS_RELEASED_VOCABULARY", ""))
PIECES = {"cls": "[CLS]", "sep": "[SEP]", "pad": "<pad>", "mask": "[MASK]"}

pytestmark = [
    pytest.mark.skipif(not RELEASED.is_file(), reason="BIGBIRD_TESTS_RELEASED_VOCABULARY does not name a file"),
    pytest.mark.parametrize("writer", ["transformers 4", "transformers 5"]),
]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Converted]:
    """Return the conversion of what one generation of transformers writes; each is made once."""
    made: dict[str, Converted] = {}

    def make(writer: str) -> Converted:
        if writer not in made:
            folder = tmp_path_factory.mktemp("released")
            if writer == "transformers 5":
                made[writer] = Converted(RELEASED, saved_by_transformers_5(RELEASED, folder))
            else:
                made[writer] = Converted(RELEASED, write_json(folder, as_transformers_4(RELEASED)))
        return made[writer]

    return make


def test_special_ids_and_known_pieces(writer: str, released: Callable[[str], Converted], tmp_path: Path) -> None:
    converted = released(writer)
    target = tmp_path / "tokenizer.model"
    ids = write_tokenizer(converted.serialised, converted.file, target, PIECES, 50358)
    assert (ids.cls, ids.sep, ids.mask) == (65, 66, 67)
    tokens = Tokenizer(target, cls_id=65, sep_id=66, pad_id=0, mask_id=67).load().tokenize("Hello  é")
    assert tokens.ids.tolist() == [18536, 16369]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(text=documents)
def test_ids_of_any_text_are_those_of_tokenizers(writer: str, released: Callable[[str], Converted], text: str) -> None:
    converted = released(writer)
    text = text.strip().strip(SPACE).strip()
    assume(not text.startswith(SPACE) and not text.endswith(SPACE) and not converted.is_special(text))
    assert converted.ours.encode(text) == converted.expected(text)


def test_every_character_up_to_U_2FFF_has_the_ids_of_tokenizers(
    writer: str, released: Callable[[str], Converted]
) -> None:
    converted = released(writer)
    for code_point in range(0x3000):
        text = f"a{chr(code_point)}b"
        assert converted.ours.encode(text) == converted.expected(text), hex(code_point)
