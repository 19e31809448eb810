"""Correlation of predicted with expected numbers."""

import numpy as np
import numpy.typing as npt
from scipy import stats

FloatArray = npt.NDArray[np.float64]


def pearson(expected: FloatArray, predicted: FloatArray) -> float:
    """Return Pearson's correlation coefficient; NaN for fewer than two pairs or if one side is constant."""
    if not _varies(expected, predicted):
        return float("nan")
    return float(np.corrcoef(expected, predicted)[0, 1])


def spearman(expected: FloatArray, predicted: FloatArray) -> float:
    """Return Spearman's: Pearson's of the ranks, equal values sharing the mean of theirs."""
    return pearson(stats.rankdata(expected), stats.rankdata(predicted))


def mean_absolute_error(expected: FloatArray, predicted: FloatArray) -> float:
    """Return the mean distance; NaN if there is no pair."""
    return float(np.abs(expected - predicted).mean()) if len(expected) else float("nan")


def _varies(*sides: FloatArray) -> bool:
    return all(len(side) > 1 and bool(np.any(side != side[0])) for side in sides)
