"""From a report's characters to the tokens the model sees, and back to targets on those tokens."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bigbird_inference.tokenization.encoded import EncodedSequence, Int64Array, TokenizedText
from bigbird_inference.tokenization.tokenizer import Tokenizer
from demo.facts import LABELS
from demo.questions import Span
from demo.reports import Report

ENTITY_LABELS = ("O", *(f"{prefix}-{label}" for label in LABELS for prefix in ("B", "I")))
NO_TARGET = -100
LONGEST_TEXT = 4000


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
    """Encode one text."""
    return Inputs(tokenizer.single(text.ids), 1)


def question_inputs(tokenizer: Tokenizer, question: TokenizedText, text: TokenizedText) -> Inputs:
    """Encode a question and the text to be asked."""
    return Inputs(tokenizer.pair(question.ids, text.ids), len(question) + 2)


def beginning(text: TokenizedText, tokens: int = LONGEST_TEXT) -> TokenizedText:
    """Cuts off what is too long for one model input, question included."""
    return TokenizedText(text.ids[:tokens], text.starts[:tokens], text.ends[:tokens])


def tokens_of_span(text: TokenizedText, start: int, end: int) -> tuple[int, int]:
    """Find the first and the last token that hold characters of ``start`` to ``end``."""
    first = int(np.searchsorted(text.ends, start, side="right"))
    last = int(np.searchsorted(text.starts, end, side="left")) - 1
    return first, last


def mask_of_spans(spans: Iterable[Span], text: TokenizedText) -> Int64Array:
    """Mark with 1 the tokens of the text, `[tokens]`, that lie in one of the spans of characters."""
    mask = np.zeros(len(text), dtype=np.int64)
    for start, end in spans:
        first, last = tokens_of_span(text, start, end)
        mask[first : last + 1] = 1
    return mask


def entity_targets(report: Report, text: TokenizedText) -> Int64Array:
    """Return each token of the text, int64 `[tokens]`, the index of its label in `ENTITY_LABELS`."""
    targets = np.zeros(len(text), dtype=np.int64)
    for entity in report.entities:
        first, last = tokens_of_span(text, entity.start, entity.end)
        if last >= len(text) - 1 and entity.end > text.ends[-1]:
            break  # cut off
        targets[first] = ENTITY_LABELS.index(f"B-{entity.label}")
        targets[first + 1 : last + 1] = ENTITY_LABELS.index(f"I-{entity.label}")
    return targets
