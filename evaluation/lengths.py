"""Documents by how many tokens the model read of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.asking import Answer, Outcome
from evaluation.datasets.base import Dataset
from evaluation.figures import IntArray


@dataclass(frozen=True, slots=True)
class LengthRange:
    """Some of the documents.

    Attributes:
        documents: Their numbers.
        low: Fewest tokens; None where their length is no condition.
        high: Most tokens; None where there is no bound.
        refused: Whether they are those that were refused, so that their length is unknown.
    """

    documents: IntArray
    low: int | None = None
    high: int | None = None
    refused: bool = False


def by_length(dataset: Dataset, outcomes: Sequence[Outcome], edges: Sequence[int]) -> list[LengthRange]:
    """Divide the documents; ranges without any are left out.

    A document's length is the largest number of tokens that one of its answers took, question and special tokens
    included.

    Args:
        dataset: The data.
        outcomes: One for each item.
        edges: The largest length of each range but the last, rising.
    """
    tokens = np.zeros(dataset.documents, dtype=np.int64)
    for item, outcome in zip(dataset.items, outcomes, strict=True):
        if isinstance(outcome, Answer):
            tokens[item.document] = max(tokens[item.document], outcome.tokens)
    ranges = [
        LengthRange(np.flatnonzero((tokens > below) & (tokens <= (high or tokens.max()))), below + 1, high)
        for below, high in zip((0, *edges), (*edges, None), strict=True)
    ]
    ranges.append(LengthRange(np.flatnonzero(tokens == 0), refused=True))
    return [part for part in ranges if len(part.documents)]
