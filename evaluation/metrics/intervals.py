"""How far a figure may be from what more documents would give.

Wilson's interval is for shares of independent items and is sound at 0 and 1. The bootstrap is for everything else: the
documents are drawn again with replacement, whole, so that several questions or entities of one document are not taken
for independent ones; the interval lies between percentiles of what the redrawn sets give.

McNemar's exact test tells whether two models are right equally often on the same items.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

FloatArray = npt.NDArray[np.float64]
WeightArray = npt.NDArray[np.float32]

Statistic = Callable[[npt.NDArray[np.int64]], float]
"""The figure of a set of documents, given by their numbers; a number may come several times."""

Weighted = Callable[[WeightArray], FloatArray]
"""Many figures of many sets of documents at once, `[sets, figures]`, NaN where one is undefined.

The sets are given by how often each document is in them, whole numbers, float32 `[sets, documents]`.
"""

# Sets of documents whose weights are held at once.
_SETS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Interval:
    """Bounds of a figure, and how they were found."""

    low: float
    high: float
    method: Literal["wilson", "bootstrap"]


@dataclass(frozen=True, slots=True)
class Resampling:
    """How intervals are made; the same values give the same intervals.

    Attributes:
        level: Confidence, for example 0.95.
        resamples: How often the documents are drawn.
        seed: Of the drawing.
    """

    level: float = 0.95
    resamples: int = 1000
    seed: int = 0


def wilson(successes: int, total: int, level: float) -> Interval:
    """Return Wilson's score interval of a share.

    Args:
        successes: How many items are right.
        total: How many items there are, at least 1.
        level: Confidence.
    """
    interval = stats.binomtest(successes, total).proportion_ci(level, method="wilson")
    return Interval(float(interval.low), float(interval.high), "wilson")


def bootstrap(statistic: Statistic, documents: int, resampling: Resampling) -> Interval | None:
    """Return the percentile interval of a figure.

    Redrawn sets on which the figure is undefined (NaN) are left out. There is no interval if all others give the same
    value, as those of a single document do: bounds without room between them would claim a certainty that is not there.

    Args:
        statistic: The figure of a set of documents.
        documents: How many there are.
        resampling: How often to draw, and the rest.
    """
    values = np.array([statistic(drawn) for drawn in _draws(documents, resampling)], dtype=np.float64)
    return _percentiles(values, resampling.level)


def bootstrap_together(weighted: Weighted, documents: int, resampling: Resampling) -> list[Interval | None]:
    """Return what `bootstrap` gives for each of many figures, from the same draws, in the time of a few.

    Args:
        weighted: The figures of sets of documents.
        documents: How many there are, less than 2^24.
        resampling: How often to draw, and the rest.
    """
    draws = _draws(documents, resampling)
    parts = []
    while some := list(islice(draws, _SETS_AT_ONCE)):
        weights = np.stack([np.bincount(drawn, minlength=documents) for drawn in some])
        parts.append(weighted(weights.astype(np.float32)))
    return [_percentiles(values, resampling.level) for values in np.concatenate(parts).T]


def _draws(documents: int, resampling: Resampling) -> Iterator[npt.NDArray[np.int64]]:
    """Yield sets of documents, each as large as their number."""
    generator = np.random.default_rng(resampling.seed)
    for _ in range(resampling.resamples):
        yield generator.integers(0, documents, documents)


def _percentiles(values: FloatArray, level: float) -> Interval | None:
    values = values[~np.isnan(values)]
    if not len(values) or values.min() == values.max():
        return None
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high), "bootstrap")


@dataclass(frozen=True, slots=True)
class McNemar:
    """How many items only one of the two got right, and the two-sided p-value.

    If both are equally good, each such item is a toss of a fair coin; the p-value is the probability of a split at
    least as uneven. Items of one document are not independent, which makes it too small where documents hold several.
    """

    only_first: int
    only_second: int
    p_value: float


def exact_mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    """Compare two models.

    Args:
        first: Whether the first got each item right.
        second: The same of the second, in the same order.
    """
    pairs = list(zip(first, second, strict=True))
    only_first = sum(one and not other for one, other in pairs)
    only_second = sum(other and not one for one, other in pairs)
    split = only_first + only_second
    p_value = float(stats.binomtest(only_first, split, 0.5).pvalue) if split else 1.0
    return McNemar(only_first, only_second, p_value)
