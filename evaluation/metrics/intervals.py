"""How far a figure may be from what more documents would give.

Wilson's interval is for shares of independent items and is sound at 0 and 1. The bootstrap is for everything else: the
documents are drawn again with replacement, whole, so that several questions or entities of one document are not taken
for independent ones; the interval lies between percentiles of what the redrawn sets give.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

Statistic = Callable[[npt.NDArray[np.int64]], float]
"""The figure of a set of documents, given by their numbers; a number may come several times."""


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
    generator = np.random.default_rng(resampling.seed)
    values = np.array(
        [statistic(generator.integers(0, documents, documents)) for _ in range(resampling.resamples)], dtype=np.float64
    )
    values = values[~np.isnan(values)]
    if not len(values) or values.min() == values.max():
        return None
    tail = (1 - resampling.level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high), "bootstrap")
