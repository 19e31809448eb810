from pathlib import Path

import pytest
import sentencepiece

from demo.vocabulary import CLASSIFY, MASK, PAD, SEPARATOR, UNKNOWN


@pytest.fixture(scope="module")
def processor(vocabulary_file: Path) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_file=str(vocabulary_file))


def test_special_pieces_have_the_ids_of_the_released_layout(
    processor: sentencepiece.SentencePieceProcessor,
) -> None:
    pieces = [processor.id_to_piece(index) for index in range(7)]
    assert pieces == ["<pad>", "</s>", "<s>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    assert processor.get_piece_size() == 4000


@pytest.mark.parametrize("text", ["[SEP]", "[CLS] and [MASK]", "<pad></s><s>", "a[SEP]b"])
def test_control_pieces_in_a_text_are_characters(processor: sentencepiece.SentencePieceProcessor, text: str) -> None:
    ids = processor.encode(text)
    assert not {PAD, CLASSIFY, SEPARATOR, MASK, 1, 2} & set(ids)
    assert processor.decode(ids) == text


@pytest.mark.parametrize("text", ["日本語の文章", "Ελληνικά", "🦉 owl", "עברית"])
def test_no_character_is_lost(processor: sentencepiece.SentencePieceProcessor, text: str) -> None:
    ids = processor.encode(text)
    assert UNKNOWN not in ids
    assert processor.decode(ids) == text


def test_numbers_are_cut_into_digits(processor: sentencepiece.SentencePieceProcessor) -> None:
    pieces = [piece.lstrip("▁") for piece in processor.encode("in 2019", out_type=str)]
    assert [piece for piece in pieces if piece][-4:] == ["2", "0", "1", "9"]
