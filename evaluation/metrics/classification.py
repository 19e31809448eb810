"""Accuracy, Matthews correlation and F1, all out of counts of which label was taken for which.

A confusion matrix is int64 `[expected, predicted]`. Its last row and column are for "no label" (a text that got no
answer), so that nothing has to be left out; for Matthews' coefficient that is a label like the others, F1 is not
averaged over it.

For models that predict a number: the correlation of predicted with expected ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

IntArray = npt.NDArray[np.int64]


def confusion_matrix(expected: IntArray, predicted: IntArray, labels: int) -> IntArray:
    """Count pairs of label numbers; the number `labels` stands for "no label".

    Args:
        expected: `[texts]`.
        predicted: `[texts]`.
        labels: How many labels there are.

    Returns:
        `[labels + 1, labels + 1]`.
    """
    size = labels + 1
    counts = np.bincount(expected * size + predicted, minlength=size * size)
    return counts.astype(np.int64).reshape(size, size)


def accuracy(confusion: IntArray) -> float:
    """Return the share of right labels."""
    return float(np.trace(confusion) / confusion.sum())


def matthews(confusion: IntArray) -> float:
    """Return Matthews' correlation coefficient, for any number of labels (Gorodkin 2004); 0 if it is undefined."""
    counts = confusion.astype(np.float64)
    total, right = counts.sum(), np.trace(counts)
    expected, predicted = counts.sum(axis=1), counts.sum(axis=0)
    spread = (total**2 - expected @ expected) * (total**2 - predicted @ predicted)
    return float((right * total - expected @ predicted) / np.sqrt(spread)) if spread > 0 else 0.0


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """How often each label was right, predicted and expected; int64 `[labels]` each."""

    right: IntArray
    predicted: IntArray
    expected: IntArray

    @classmethod
    def of_confusion(cls, confusion: IntArray) -> "LabelCounts":
        """Count each label of a confusion matrix."""
        return cls(np.diag(confusion)[:-1], confusion.sum(axis=0)[:-1], confusion.sum(axis=1)[:-1])

    @classmethod
    def of_sets(cls, expected: npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_]) -> "LabelCounts":
        """Count labels of which each text may have any number; bool `[texts, labels]` each."""
        return cls((expected & predicted).sum(axis=0), predicted.sum(axis=0), expected.sum(axis=0))


def f1_by_label(counts: LabelCounts) -> npt.NDArray[np.float64]:
    """Return each label's F1, NaN where the label neither occurs nor is predicted; the shape is that of the counts."""
    involved = counts.predicted + counts.expected
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * counts.right / involved, dtype=np.float64)


def macro_f1(counts: LabelCounts) -> float:
    """Return the mean F1 of all labels that occur or are predicted; NaN if none does."""
    known = f1_by_label(counts)
    known = known[~np.isnan(known)]
    return float(known.mean()) if len(known) else float("nan")


def micro_f1(counts: LabelCounts) -> float:
    """Return the F1 of all labels taken together; NaN if no label occurs or is predicted."""
    involved = int((counts.predicted + counts.expected).sum())
    return 2 * int(counts.right.sum()) / involved if involved else float("nan")


def label_numbers(labels: Sequence[str], values: Sequence[str | None]) -> IntArray:
    """Return the number of each label, `len(labels)` for None.

    Args:
        labels: All labels in order.
        values: Labels of texts.
    """
    numbers: dict[str | None, int] = {label: number for number, label in enumerate(labels)}
    numbers[None] = len(labels)
    return np.array([numbers[value] for value in values], dtype=np.int64)


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
