"""Everything that waits: one queue for each bucket, and the totals that admission asks for.

Queues are opened and closed while the server runs. The tables are replaced and never changed in place, because metrics
read them from another thread.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from bigbird_inference.buckets import BucketKey, ModelVersion, ServedBucket, smallest_bucket
from bigbird_inference.errors import DeadlineExceeded
from service.batching.bucket_queue import BucketQueue, QueuedItem, WorkItem, fail_all
from service.batching.forecast import Forecast
from service.batching.observer import BatchObserver, DropReason


class WaitingRoom:
    """The queues.

    Args:
        buckets: What is served at first.
        forecast: Says how long an item runs alone.
        patience_seconds: An item that has waited this long is due, and goes before everything younger.
        observer: Hears of every item that leaves without having run.
        keeps_deadlines: Whether an item is dropped once it cannot make its deadline any more, rather than once that has
            passed.
    """

    def __init__(
        self,
        buckets: Iterable[ServedBucket],
        forecast: Forecast,
        patience_seconds: float,
        *,
        observer: BatchObserver,
        keeps_deadlines: bool,
    ) -> None:
        self._queues: dict[BucketKey, BucketQueue] = {}
        self._lengths: dict[ModelVersion, list[int]] = {}
        self.open(buckets)
        self._forecast = forecast
        self._patience_seconds = patience_seconds
        self._observer = observer
        self._keeps_deadlines = keeps_deadlines
        self._accepted = 0

    def open(self, buckets: Iterable[ServedBucket]) -> None:
        """Make a queue for each of these."""
        self._queues = {**self._queues, **{bucket.key: BucketQueue(bucket) for bucket in buckets}}
        self._note_lengths()

    def close(self, buckets: Iterable[ServedBucket]) -> None:
        """Forget these queues; they must be empty."""
        closed = {bucket.key for bucket in buckets}
        self._queues = {key: queue for key, queue in self._queues.items() if key not in closed}
        self._note_lengths()

    @property
    def queues(self) -> Sequence[BucketQueue]:
        """All queues, in the order of the models and their lengths."""
        return list(self._queues.values())

    @property
    def entries(self) -> list[QueuedItem]:
        """Everything that waits."""
        return [entry for queue in self._queues.values() for entry in queue]

    @property
    def items(self) -> int:
        """Windows that wait."""
        return sum(len(queue) for queue in self._queues.values())

    @property
    def tokens(self) -> int:
        """Real tokens that wait."""
        return sum(queue.tokens for queue in self._queues.values())

    def items_of(self, model: str, bucket: int) -> int:
        """Windows that wait for one bucket, in all versions of its model."""
        return sum(len(queue) for queue in self._queues_of(model, bucket))

    def oldest_age(self, model: str, bucket: int, now: float) -> float:
        """Seconds for which the oldest window of one bucket has waited; 0 if none waits."""
        waiting = (entry for queue in self._queues_of(model, bucket) for entry in queue)
        return max((now - entry.accepted_at for entry in waiting), default=0.0)

    def bucket_of(self, item: WorkItem) -> ServedBucket:
        """Return the shortest bucket that holds an item."""
        length = smallest_bucket(self._lengths[item.model_version], len(item.sequence))
        return self._queues[BucketKey(item.model, length, item.version)].bucket

    def due_at(self, item: WorkItem, bucket: ServedBucket, now: float) -> float:
        """Return when an item that is accepted now is due: see `service.batching.policy`."""
        patient = now + self._patience_seconds
        if item.deadline is None:
            return patient
        return max(now, min(patient, item.deadline - self._forecast.alone(bucket)))

    def add(self, item: WorkItem, now: float, on_end: Callable[[QueuedItem], None]) -> QueuedItem:
        """Queue an item; `on_end` is called when its future is done, wherever the entry is by then."""
        bucket = self.bucket_of(item)
        self._accepted += 1
        future = asyncio.get_running_loop().create_future()
        entry = QueuedItem(item, bucket, future, now, self.due_at(item, bucket, now), self._accepted)
        future.add_done_callback(lambda _: on_end(entry))
        self._queues[bucket.key].add(entry)
        return entry

    def remove(self, entry: QueuedItem) -> bool:
        """Take an entry out; return whether it was there."""
        queue = self._queues.get(entry.bucket.key)
        if queue is None or entry not in queue:
            return False
        queue.remove(entry)
        return True

    def take_all(self) -> list[QueuedItem]:
        """Take out everything."""
        entries = self.entries
        for entry in entries:
            self.remove(entry)
        return entries

    def withdraw(self, entry: QueuedItem, now: float) -> bool:
        """Take out an entry whose owner has gone; return whether it was there."""
        if not self.remove(entry):
            return False
        self._observer.item_dropped(
            entry.bucket.model, entry.bucket.length, "expired" if entry.expired(now) else "cancelled"
        )
        return True

    def drop_unreachable(self, now: float) -> None:
        """Drop entries that nobody waits for, and those that cannot make their deadline."""
        for entry in self._unreachable(now):
            if entry.future.done():
                self.withdraw(entry, now)
            elif self._keeps_deadlines or entry.expired(now):
                self.remove(entry)
                reason: DropReason = "expired" if entry.expired(now) else "unreachable"
                self._observer.item_dropped(entry.bucket.model, entry.bucket.length, reason)
                fail_all(
                    [entry],
                    lambda: DeadlineExceeded("The request waited for its turn until its deadline could not be met."),
                )

    def _unreachable(self, now: float) -> list[QueuedItem]:
        """Return entries that nobody waits for, or that would miss their deadline even if they began now and alone."""
        found = []
        for queue in self._queues.values():
            ends = now + self._forecast.alone(queue.bucket)
            found += [
                entry
                for entry in queue
                if entry.future.done() or (entry.item.deadline is not None and entry.item.deadline < ends)
            ]
        return found

    def _queues_of(self, model: str, bucket: int) -> list[BucketQueue]:
        return [queue for key, queue in self._queues.items() if (key.model, key.length) == (model, bucket)]

    def _note_lengths(self) -> None:
        lengths: dict[ModelVersion, list[int]] = {}
        for key in sorted(self._queues):
            lengths.setdefault(ModelVersion(key.model, key.version), []).append(key.length)
        self._lengths = lengths
