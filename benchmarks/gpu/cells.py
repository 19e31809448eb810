"""What is known of one contender at one shape: its times, or why there are none."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from benchmarks.contenders import FloatArray

# In standard deviations of the reference's logits. fp16 moves these logits by 0.002 to 0.004 (measured on a CPU),
# full attention instead of block-sparse by more than 0.25.
TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class Cell:
    """One contender, in one variant, with one number of documents of one length.

    Attributes:
        contender: Its name.
        variant: Of it.
        length: In tokens.
        documents: Run at a time.
        operations: Floating-point operations of such a run.
        seconds: Of a run, for each repeat; empty if there are no times.
        difference: Largest difference from the fp32 reference, in standard deviations of its logits.
        failure: Why there are no times.
    """

    contender: str
    variant: str
    length: int
    documents: int
    operations: int
    seconds: tuple[float, ...] = ()
    difference: float | None = None
    failure: str | None = None

    @property
    def documents_per_second(self) -> float | None:
        """By the median run."""
        return self.documents / median(self.seconds) if self.seconds else None


def difference_from(reference: FloatArray, logits: FloatArray) -> float:
    """Return the largest difference, in standard deviations of the reference."""
    return float(abs(logits - reference[: len(logits)]).max() / reference.std())


def wrong(difference: float) -> str | None:
    """Return what to say of logits that differ so much from the reference, or None if they are right."""
    # Not `>`: a difference that is not a number must fail too.
    if difference <= TOLERANCE:
        return None
    return f"logits differ from the reference by {difference:.3g} standard deviations, more than {TOLERANCE}"


def fastest(cells: Iterable[Cell], contender: str, length: int) -> Cell | None:
    """Return the variant and batch with which a contender gets through most documents of a length."""
    own = [cell for cell in cells if cell.contender == contender and cell.length == length and cell.seconds]
    return max(own, key=lambda cell: cell.documents_per_second or 0.0, default=None)
