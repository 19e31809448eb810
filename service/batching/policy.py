"""What a batching policy is: which entries the executor runs next, and in which bucket.

The scheduler asks it whenever the executor is free; everything else (admission, deadlines, failures) is the
scheduler's. `service.batching.least_delay` is the policy that serves; the benchmark puts others in its place.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bigbird_inference.buckets import ServedBucket
from service.batching.bucket_queue import BucketQueue, QueuedItem


@dataclass(frozen=True, slots=True)
class Selection:
    """The next batch.

    Attributes:
        bucket: Where it runs.
        entries: At least one, of any queues of the bucket's model; they are still in their queues.
        start_at: When to begin, on the scheduler's clock, if nothing arrives before; at once if this has passed.
    """

    bucket: ServedBucket
    entries: Sequence[QueuedItem]
    start_at: float = 0.0


class BatchPolicy(Protocol):
    """Chooses the next batch."""

    def select(self, queues: Iterable[BucketQueue], now: float) -> Selection | None:
        """Return the next batch, or None if every queue is empty; the queues are left as they are."""
        ...
