"""How often a classifier is right, and whether its probabilities say so."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.metrics.intervals import Interval, Resampling, bootstrap

_BINS = 15


@dataclass(frozen=True, slots=True)
class Reliability:
    """What a classifier's answers to some texts are worth.

    Attributes:
        texts: How many there are.
        accuracy: The share of right answers.
        interval: Of the accuracy, 95% by bootstrap over the texts; None if all answers are right, or none.
        calibration_error: See `expected_calibration_error`.
    """

    texts: int
    accuracy: float
    interval: Interval | None
    calibration_error: float

    @classmethod
    def of(cls, probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> "Reliability":
        """Compare `[texts, labels]` with the right labels' numbers, `[texts]`."""
        right = probabilities.argmax(axis=1) == labels
        interval = bootstrap(lambda drawn: float(right[drawn].mean()), len(right), Resampling())
        error = expected_calibration_error(probabilities.max(axis=1), right)
        return cls(len(right), float(right.mean()), interval, error)

    def cells(self) -> str:
        """Return it as cells of a table in Markdown."""
        between = f" ({self.interval.low:.3f} to {self.interval.high:.3f})" if self.interval else ""
        return f"{self.texts:,} | {self.accuracy:.3f}{between} | {self.calibration_error:.3f}"


def expected_calibration_error(confidence: npt.NDArray[np.float32], right: npt.NDArray[np.bool_]) -> float:
    """Return how far confidence and the share of right answers lie apart, on average over texts (Guo et al. 2017).

    Args:
        confidence: The highest probability of each text, `[texts]`. Texts are put into 15 bins by it, of equal width.
        right: Whether the label of that probability is right, `[texts]`.
    """
    bins = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    gaps = [abs(float(confidence[bins == number].sum() - right[bins == number].sum())) for number in np.unique(bins)]
    return sum(gaps) / len(right)
