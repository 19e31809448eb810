"""Cut anywhere, a normal form is that of the whole text, and no long text holds the interpreter."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigbird_inference.tokenization import normal_form
from bigbird_inference.tokenization.sentencepiece_vocabulary import SentencePieceVocabulary
from bigbird_inference.tokenization.tokenizer import Tokenizer
from tests.bigbird_inference.tokenization.documents import documents
from tests.bigbird_inference.tokenization.whole_texts import check_consumed, check_parts
from tests.vocabularies import SPECIAL_PIECES, train_vocabulary

ANY_DOCUMENT = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
EIGHTEEN_CHARACTERS = "\ufdfa"


@pytest.fixture(scope="module")
def keeping_spaces(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """NFKC without byte fallback; runs of spaces stay, and no space is put before a text."""
    path = train_vocabulary(
        tmp_path_factory.mktemp("spaces") / "spaces",
        vocab_size=500,
        character_coverage=0.98,
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
        control_symbols=list(SPECIAL_PIECES[1:]),
    )
    return Tokenizer(path, cls_id=1, sep_id=2, pad_id=0, mask_id=3).load()


@ANY_DOCUMENT
@given(text=documents, size=st.integers(1, 20))
def test_parts_make_no_difference(
    any_tokenizer: Tokenizer, text: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_parts(any_tokenizer.vocabulary, text, size, monkeypatch)


@ANY_DOCUMENT
@given(text=documents, size=st.integers(1, 20))
def test_parts_make_no_difference_where_spaces_are_kept(
    keeping_spaces: Tokenizer, text: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_parts(keeping_spaces.vocabulary, text, size, monkeypatch)


@pytest.fixture(scope="module")
def abc_is_x(tmp_path_factory: pytest.TempPathFactory) -> SentencePieceVocabulary:
    """Replaces "abc" by "x", and nothing else."""
    folder = tmp_path_factory.mktemp("rule")
    (folder / "rule.tsv").write_text("61 62 63\t78\n")
    return SentencePieceVocabulary.load(
        train_vocabulary(folder / "rule", vocab_size=300, normalization_rule_tsv=str(folder / "rule.tsv"))
    )


@pytest.mark.parametrize("size", range(1, 8))
def test_a_part_looks_as_far_ahead_as_a_rule_reaches(
    abc_is_x: SentencePieceVocabulary, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_parts(abc_is_x, "ababcabc aabcbcabab", size, monkeypatch)


def test_parts_that_do_not_add_up_are_not_used(
    abc_is_x: SentencePieceVocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(normal_form, "PART", 3)
    monkeypatch.setattr(normal_form, "LONGEST_RULE", 0)  # shorter than the rule
    found = normal_form.normalise(abc_is_x.processor, "aababc")
    assert "".join(map(chr, found.characters.tolist())) == "\u2581aabx"
    assert found.offsets.tolist() == [0, 0, 1, 2, 3, 6]


@ANY_DOCUMENT
@given(text=documents)
def test_consumed_code_points_are_those_that_sentencepiece_tells(any_tokenizer: Tokenizer, text: str) -> None:
    check_consumed(any_tokenizer.vocabulary, text)


@pytest.mark.parametrize(
    "text",
    ["<x <s> x<s>\u4e00<<s", "\u4e00\u4e00 <s>", "<s>", "<\u4e00 a"],
    ids=["parts of a piece alone and in it", "no part alone", "only the piece", "a part beside another"],
)
def test_unknown_characters_that_are_parts_of_pieces_have_the_length_that_sentencepiece_gives_them(
    user_defined_vocabulary: Path, text: str
) -> None:
    vocabulary = SentencePieceVocabulary.load(user_defined_vocabulary)
    assert not vocabulary.own_piece[ord("<")]
    check_consumed(vocabulary, text)


class CountingProcessor:
    """A SentencePiece model that remembers the most Python objects that one call returned."""

    def __init__(self, processor: sentencepiece.SentencePieceProcessor) -> None:
        self._processor = processor
        self.most_objects = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._processor, name)

    def encode(self, text: str, **options: Any) -> Any:
        return self._counted(self._processor.encode(text, **options))

    def normalize(self, text: str, **options: Any) -> Any:
        return self._counted(self._processor.normalize(text, **options))

    def _counted(self, answer: Any) -> Any:
        parts = answer.values() if isinstance(answer, dict) else answer if isinstance(answer, tuple) else [answer]
        objects = sum(len(part) for part in parts if isinstance(part, list))
        self.most_objects = max(self.most_objects, objects)
        return answer


@pytest.mark.parametrize("positions", [True, False], ids=["with positions", "ids alone"])
def test_no_call_makes_python_objects_of_a_whole_text(tokenizer: Tokenizer, positions: bool) -> None:
    text = EIGHTEEN_CHARACTERS * 30_000
    processor = CountingProcessor(tokenizer.vocabulary.processor)
    counted = Tokenizer(tokenizer.model_file, tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id)
    counted.vocabulary = replace(tokenizer.vocabulary, processor=processor)
    tokens = counted.tokenize(text) if positions else counted.tokenize_without_positions(text)
    assert len(tokens) >= 18 * len(text)
    assert processor.most_objects <= 18 * (normal_form.PART + normal_form.LONGEST_RULE) + 2 < 180_000
