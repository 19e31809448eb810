"""One batch's run, as the executor thread does it: pad, run, cut, measure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.batching.buckets import ServedBucket
from service.batching.collate import collate, cut_logits
from service.runtime.session import Float32Array
from service.tokenization.encoded import EncodedSequence


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What a run gave.

    Attributes:
        logits: One array per sequence, without padding positions.
        started_at: Start of the run on the scheduler's clock, in seconds.
        seconds: Duration of the run.
    """

    logits: Sequence[Float32Array]
    started_at: float
    seconds: float


def run_batch(bucket: ServedBucket, sequences: Sequence[EncodedSequence], clock: Callable[[], float]) -> BatchOutcome:
    """Run sequences of one bucket together."""
    started_at = clock()
    batch = collate(sequences, bucket.length, bucket.pad_id)
    logits = cut_logits(bucket.session.run(batch), [len(sequence) for sequence in sequences])
    return BatchOutcome(logits, started_at, clock() - started_at)
