"""From a report's characters to the tokens the model sees, and back to targets on those tokens."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_export.demo.facts import LABELS
from model_export.demo.reports import Question, Report
from service.tokenization.encoded import EncodedSequence, Int64Array, TokenizedText
from service.tokenization.tokenizer import Tokenizer

BoolArray = npt.NDArray[np.bool_]

ENTITY_LABELS = ("O", *(f"{prefix}-{label}" for label in LABELS for prefix in ("B", "I")))
NO_TARGET = -100


@dataclass(frozen=True, slots=True)
class Inputs:
    """One model input as it is served: `[CLS] question [SEP] text [SEP]` or `[CLS] text [SEP]`.

    Attributes:
        sequence: Token ids and token types.
        text_offset: Position of the text's first token.
    """

    sequence: EncodedSequence
    text_offset: int

    def __len__(self) -> int:
        return len(self.sequence)


def single_inputs(tokenizer: Tokenizer, text: TokenizedText) -> Inputs:
    """Encodes one text."""
    return Inputs(tokenizer.single(text.ids), 1)


def question_inputs(tokenizer: Tokenizer, question: TokenizedText, text: TokenizedText) -> Inputs:
    """Encodes a question and the text to be asked."""
    return Inputs(tokenizer.pair(question.ids, text.ids), len(question) + 2)


def tokens_of_span(text: TokenizedText, start: int, end: int) -> tuple[int, int]:
    """Finds the first and the last token that hold characters of ``start`` to ``end``."""
    first = int(np.searchsorted(text.ends, start, side="right"))
    last = int(np.searchsorted(text.starts, end, side="left")) - 1
    return first, last


def mention_mask(question: Question, text: TokenizedText) -> BoolArray:
    """Marks the tokens of the text, bool `[tokens]`, that mention the subject the question asks about."""
    mask = np.zeros(len(text), dtype=np.bool_)
    for start, end in question.subject_mentions:
        first, last = tokens_of_span(text, start, end)
        mask[first : last + 1] = True
    return mask


def entity_targets(report: Report, text: TokenizedText) -> Int64Array:
    """Gives each token of the text, int64 `[tokens]`, the index of its label in `ENTITY_LABELS`."""
    targets = np.zeros(len(text), dtype=np.int64)
    for entity in report.entities:
        first, last = tokens_of_span(text, entity.start, entity.end)
        targets[first] = ENTITY_LABELS.index(f"B-{entity.label}")
        targets[first + 1 : last + 1] = ENTITY_LABELS.index(f"I-{entity.label}")
    return targets
