"""Which queue the executor serves next, and how many of its entries go into the batch.

The scheduler asks the policy whenever the executor is free; everything else (admission, deadlines, failures) is the
scheduler's. A cleverer policy replaces this module and nothing more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from service.batching.bucket_queue import BucketQueue, QueuedItem


@dataclass(frozen=True, slots=True)
class Selection:
    """The next batch: entries of one queue, at least one."""

    queue: BucketQueue
    entries: Sequence[QueuedItem]


class BatchPolicy(Protocol):
    """Chooses the next batch."""

    def select(self, queues: Iterable[BucketQueue], now: float) -> Selection | None:
        """Return the next batch, or None if every queue is empty; the queues are left as they are."""
        ...


@dataclass(frozen=True, slots=True)
class OldestFirst:
    """Serves the queue whose oldest entry has waited longest, so that no bucket starves another.

    Attributes:
        max_items: Most sequences in a batch.
        max_tokens: Most padded tokens in a batch; a single sequence always goes.
    """

    max_items: int
    max_tokens: int

    def select(self, queues: Iterable[BucketQueue], now: float) -> Selection | None:
        """Return up to the caps of the longest-waiting queue, oldest first."""
        waiting = [(queue.oldest.accepted_at, queue) for queue in queues if queue.oldest is not None]
        if not waiting:
            return None
        _, queue = min(waiting, key=lambda pair: pair[0])
        count = min(self.max_items, max(1, self.max_tokens // queue.bucket.length))
        return Selection(queue, list(islice(queue, count)))
