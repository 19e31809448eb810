"""What differs between an answer and that of transformers' pipeline, and how each difference is undone."""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import sentencepiece

from tests.fixtures.pipeline_requests import SPECIAL_PIECES, VOCABULARY


class Difference(StrEnum):
    """Why an answer is another one than the pipeline's."""

    LINE_BREAK = "transformers' tokenizer drops white space at the end of a text; SentencePiece drops spaces only"
    EDGES = "the pipeline's spans begin with the space before the word; here they neither begin nor end with a blank"
    BLANK_TOKENS = "a token that is only white space counts there as any other; here it is passed over"
    SAME_WORDS = "the pipeline adds up the scores of answers with the same words; here each place is an answer"
    WHOLE_WORDS = "the pipeline widens answers to whole words unless it is told not to; here they are never widened"
    NORMALISED_WINDOWS = "the pipeline normalises each window by itself; here all windows compete on equal terms"
    GROUPED_WINDOWS = "the pipeline groups each window by itself, or reads one only; here logits are merged first"
    WHITE_SPACE = "only the space separates words there; here any white space does"
    COLUMNS = "entities go on across any white space there; here they end at a tab, or at three spaces within a line"
    SPELT_WORDS = "`word` is decoded from tokens there; here it is the text's own"
    DECODED_SEQUENCE = "`sequence` is decoded from tokens there; here it is the text with the token in the mask's place"
    LONG_TEXT = "the pipeline fails on a text longer than the model"
    BEST_LABEL = "the pipeline gives the best label unless told `top_k`; here all are given, as the hosted service does"


_PIECES = sentencepiece.SentencePieceProcessor(model_file=str(VOCABULARY))
_CHARACTERS = set("".join(_PIECES.id_to_piece(list(range(7, len(_PIECES)))))) - {"▁"}


def merged(context: str, spans: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add up answers with the same words as the pipeline does, where the space before a word is one of them."""
    by_words: dict[str, dict[str, Any]] = {}
    for span in spans:
        before = span["start"] - 1
        start = before if before >= 0 and context[before] == " " and span["end"] else span["start"]
        words = context[start : span["end"]].lower()
        added_up = by_words.setdefault(words, {**span, "score": 0.0})
        added_up["score"] += span["score"]
    return sorted(by_words.values(), key=lambda span: -span["score"])


def widened(context: str, span: dict[str, Any]) -> dict[str, Any]:
    """Move both ends of an answer to the ends of words, which only the space separates."""
    start = context.rfind(" ", 0, span["start"]) + 1
    end = context.find(" ", span["end"])
    end = len(context) if end < 0 else end
    return {"score": span["score"], "start": start, "end": end, "answer": context[start:end]}


def elsewhere(expected: list[Any], own: list[Any], places: Sequence[tuple[int, int]]) -> tuple[list[Any], list[Any]]:
    """Leave out entities that hold or touch a place, and those that share characters with one that the other has there.

    An entity at such a place may be joined with its neighbour by one of the two, and by the other not.
    """
    kept: list[list[Any]] = [[], []]
    out: list[Any] = []
    for number, entities in enumerate((expected, own)):
        for entity in entities:
            touches = any(entity["start"] <= end + 1 and entity["end"] >= start for start, end in places)
            (out if touches else kept[number]).append(entity)
    while out:
        gone = out.pop()
        for number, entities in enumerate(kept):
            overlapping = [one for one in entities if one["start"] < gone["end"] and gone["start"] < one["end"]]
            kept[number] = [one for one in entities if one not in overlapping]
            out += overlapping
    return kept[0], kept[1]


def squeezed(word: str) -> str:
    """Leave out white space, and the sign for it in pieces."""
    return re.sub(r"[\s▁]", "", word)


def known(sequence: str) -> str:
    """Leave out what a decoded sequence does not show: white space, special tokens, and what the vocabulary lacks."""
    for piece in ("<unk>", "<pad>", *SPECIAL_PIECES):
        sequence = sequence.replace(piece, "")
    return "".join(character for character in sequence if character in _CHARACTERS)
