"""One batch's run, as the executor thread does it: pad, run, cut, check, measure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bigbird_inference.buckets import ServedBucket
from bigbird_inference.collation import collate, cut_outputs
from bigbird_inference.runtime.session import Outputs, RunControl
from bigbird_inference.tokenization.encoded import EncodedSequence


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What a run gave.

    Attributes:
        outputs: Each sequence's own outputs, without padding.
        started_at: When the batch began to be put together, on the scheduler's clock, in seconds.
        collate_seconds: How long that took.
        run_seconds: Duration of the session's run, and of cutting its outputs.
    """

    outputs: Sequence[Outputs]
    started_at: float
    collate_seconds: float
    run_seconds: float

    @property
    def seconds(self) -> float:
        """What the batch took of the device's thread."""
        return self.collate_seconds + self.run_seconds


def run_batch(
    bucket: ServedBucket,
    sequences: Sequence[EncodedSequence],
    clock: Callable[[], float],
    control: RunControl | None = None,
) -> BatchOutcome:
    """Run sequences of one bucket together.

    Raises:
        ValueError: The session's outputs do not fit what went in, or are not numbers.
        RunTerminated: The control ended the run.
        OutOfMemory: There was no room for the batch.
    """
    started_at = clock()
    batch = collate(sequences, bucket.length, bucket.pad_id)
    collated_at = clock()
    outputs = cut_outputs(bucket.session.run(batch, control), sequences)
    _refuse_not_finite(outputs)
    return BatchOutcome(outputs, started_at, collated_at - started_at, clock() - collated_at)


def _refuse_not_finite(outputs: Sequence[Outputs]) -> None:
    """Refuse NaN and infinity: what is decoded from them looks like an answer.

    A sum is not finite if one of its terms is not, and costs no copy; only where it is not are the terms looked at.

    Raises:
        ValueError: There is one; the message names the output.
    """
    for own in outputs:
        for name, array in own.items():
            with np.errstate(over="ignore", invalid="ignore"):
                total = array.sum()
            if not np.isfinite(total) and not np.isfinite(array).all():
                raise ValueError(f"the output {name} holds NaN or infinity")
