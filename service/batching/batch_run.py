"""One batch's run, as the executor thread does it: pad, run, cut, measure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.batching.buckets import ServedBucket
from service.batching.collate import collate, cut_outputs
from service.runtime.session import Outputs, RunControl
from service.tokenization.encoded import EncodedSequence


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What a run gave.

    Attributes:
        outputs: Each sequence's own outputs, without padding.
        started_at: Start of the run on the scheduler's clock, in seconds.
        seconds: Duration of the run.
    """

    outputs: Sequence[Outputs]
    started_at: float
    seconds: float


def run_batch(
    bucket: ServedBucket,
    sequences: Sequence[EncodedSequence],
    clock: Callable[[], float],
    control: RunControl | None = None,
) -> BatchOutcome:
    """Run sequences of one bucket together.

    Raises:
        ValueError: The session's outputs do not fit what went in.
        RunTerminated: The control ended the run.
        OutOfMemory: There was no room for the batch.
    """
    started_at = clock()
    batch = collate(sequences, bucket.length, bucket.pad_id)
    outputs = cut_outputs(bucket.session.run(batch, control), sequences)
    return BatchOutcome(outputs, started_at, clock() - started_at)
