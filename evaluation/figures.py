"""From what a model did on each document to figures with intervals, of all documents and of any part of them."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.metrics.intervals import (
    Interval,
    Resampling,
    Statistic,
    Weighted,
    bootstrap,
    bootstrap_together,
    wilson,
)

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Figure:
    """A named figure of any set of documents.

    Attributes:
        name: For people, for example "exact match".
        statistic: Its value for documents given by their numbers; NaN where it is undefined.
        items: How many items (questions, texts, entities) of each document it is about; int64 `[documents]`.
        share: Whether it is a share of items that are each right or wrong.
        detail: Whether it is of interest for all documents together only.
        interval: Whether it can be given an interval.
        needs_items: Whether documents without items are not part of it, so that two models can be compared only on
            those that have some for both.
    """

    name: str
    statistic: Statistic
    items: IntArray
    share: bool = False
    detail: bool = False
    interval: bool = True
    needs_items: bool = False


@dataclass(frozen=True, slots=True)
class FigureGroup:
    """Figures that are computed together, because there may be many; of interest for all documents only.

    Attributes:
        names: For people.
        weighted: Their values for many sets of documents.
        items: How many items each is about, all documents together; int64 `[figures]`.
    """

    names: Sequence[str]
    weighted: Weighted
    items: IntArray


@dataclass(frozen=True, slots=True)
class Decisions:
    """What there was to find, and what was found; a decision is right if it is in both or in neither.

    Attributes:
        expected: What is to be found: items by their numbers, or, where an item holds several decisions, tuples that
            begin with its number.
        found: The same of what was found.
        refused: Numbers of items without answer; nothing about them is right.
    """

    expected: frozenset[Hashable]
    found: frozenset[Hashable]
    refused: frozenset[int] = frozenset()

    def right(self, decision: Hashable) -> bool:
        """Tell whether a decision is right."""
        item = decision[0] if isinstance(decision, tuple) else decision
        return item not in self.refused and (decision in self.expected) == (decision in self.found)


@dataclass(frozen=True, slots=True)
class Scores:
    """What a model achieved.

    Attributes:
        figures: The most telling ones first.
        decisions: What two models can be compared by, one by one; None if nothing is right or wrong.
        notes: What else is to be said, in sentences.
        group: More figures, after the others.
    """

    figures: Sequence[Figure]
    decisions: Decisions | None
    notes: Sequence[str] = ()
    group: FigureGroup | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure's value (NaN if it is undefined), over how many items, and its interval."""

    name: str
    value: float
    items: int
    interval: Interval | None


def estimate(figure: Figure, documents: IntArray, resampling: Resampling) -> Estimate:
    """Compute a figure of some documents.

    A share of independent items, and one that is 0 or 1, where drawing again cannot show anything else, gets
    Wilson's interval, over documents; everything else is bootstrapped.
    """
    value = figure.statistic(documents)
    return Estimate(
        figure.name, value, int(figure.items[documents].sum()), _interval(figure, documents, value, resampling)
    )


def _interval(figure: Figure, documents: IntArray, value: float, resampling: Resampling) -> Interval | None:
    if not figure.interval or np.isnan(value):
        return None
    items = figure.items[documents]
    if figure.share and (items.max() <= 1 or value in (0.0, 1.0)):
        independent = int(np.count_nonzero(items))
        return wilson(round(value * independent), independent, resampling.level)
    return bootstrap(lambda drawn: figure.statistic(documents[drawn]), len(documents), resampling)


def estimate_together(group: FigureGroup, documents: int, resampling: Resampling) -> list[Estimate]:
    """Compute the figures of a group, of all documents, all from the same draws."""
    (values,) = group.weighted(np.ones((1, documents), dtype=np.float32))
    intervals = bootstrap_together(group.weighted, documents, resampling)
    return [
        Estimate(name, float(value), int(items), None if np.isnan(value) else interval)
        for name, value, items, interval in zip(group.names, values, group.items, intervals, strict=True)
    ]


def comparable_documents(first: Figure, second: Figure, documents: IntArray) -> IntArray:
    """Return those of the documents on which a figure of two models can be compared."""
    if not first.needs_items:
        return documents
    return documents[((first.items > 0) & (second.items > 0))[documents]]


def difference(first: Figure, second: Figure, documents: IntArray, resampling: Resampling) -> Estimate:
    """Compute how much higher a figure of the second model is, on the same documents, drawn together."""
    documents = comparable_documents(first, second, documents)

    def higher(chosen: IntArray) -> float:
        return second.statistic(chosen) - first.statistic(chosen)

    interval = None
    if first.interval and len(documents):
        interval = bootstrap(lambda drawn: higher(documents[drawn]), len(documents), resampling)
    return Estimate(first.name, higher(documents), int(first.items[documents].sum()), interval)
