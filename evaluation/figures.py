"""From what a model did on each document to figures with intervals, of all documents and of any part of them."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.metrics.intervals import Interval, Resampling, Statistic, bootstrap, wilson

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
    """

    name: str
    statistic: Statistic
    items: IntArray
    share: bool = False
    detail: bool = False
    interval: bool = True


@dataclass(frozen=True, slots=True)
class Decisions:
    """What there was to find, and what was found; a decision is right if it is in both or in neither."""

    expected: frozenset[Hashable]
    found: frozenset[Hashable]

    def right(self, decision: Hashable) -> bool:
        """Tell whether a decision is right."""
        return (decision in self.expected) == (decision in self.found)


@dataclass(frozen=True, slots=True)
class Scores:
    """What a model achieved.

    Attributes:
        figures: The most telling ones first.
        decisions: What two models can be compared by, one by one; None if nothing is right or wrong.
        notes: What else is to be said, in sentences.
    """

    figures: Sequence[Figure]
    decisions: Decisions | None
    notes: Sequence[str] = ()


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


def difference(first: Figure, second: Figure, documents: IntArray, resampling: Resampling) -> Estimate:
    """Compute how much higher a figure of the second model is, on the same documents, drawn together."""

    def higher(chosen: IntArray) -> float:
        return second.statistic(chosen) - first.statistic(chosen)

    interval = bootstrap(lambda drawn: higher(documents[drawn]), len(documents), resampling) if first.interval else None
    return Estimate(first.name, higher(documents), int(first.items[documents].sum()), interval)
