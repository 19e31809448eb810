"""Everything that waits: one queue for each bucket, and the totals that admission asks for.

Queues are opened and closed while the server runs. The tables are replaced and never changed in place, because metrics
read them from another thread.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from bigbird_inference.buckets import BucketKey, ModelVersion, ServedBucket, smallest_bucket
from bigbird_inference.errors import DeadlineExceeded
from service.batching.bucket_queue import BucketQueue, Place, QueuedItem, WorkItem, fail_all
from service.batching.forecast import Forecast
from service.batching.observer import BatchObserver, DropReason
from service.batching.shares import Share, Shares


def _call_with(on_end: Callable[[QueuedItem], None], entry: QueuedItem, _: object) -> None:
    on_end(entry)


class WaitingRoom:
    """The queues.

    Args:
        buckets: What is served at first.
        forecast: Says how long an item runs alone.
        patience_seconds: An item that has waited this long is due: see `service.batching.policy`.
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
        self.shares = Shares()
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

    def last_place(self, items: Sequence[WorkItem], now: float) -> Place:
        """Return where the last of a request's windows would stand if they were accepted now."""
        buckets, costs = self._costs(items)
        starts = self._share(items).starts(costs)
        due_at = max(self._due_at(*each, now) for each in zip(items, buckets, starts, strict=True))
        return Place(due_at, starts[-1], first=starts[-1] <= self.shares.level)

    def add(self, items: Sequence[WorkItem], now: float, on_end: Callable[[QueuedItem], None]) -> list[QueuedItem]:
        """Queue windows of a request; `on_end` is called when one's future is done, wherever the entry is by then."""
        buckets, costs = self._costs(items)
        starts = self._share(items).take(costs)
        loop = asyncio.get_running_loop()
        entries = []
        for item, bucket, start, cost in zip(items, buckets, starts, costs, strict=True):
            self._accepted += 1
            entry = QueuedItem(
                item,
                bucket,
                loop.create_future(),
                accepted_at=now,
                due_at=self._due_at(item, bucket, start, now),
                number=self._accepted,
                start=start,
                cost=cost,
                in_turn=start <= self.shares.level,
                first=start <= self.shares.level,
            )
            entry.future.add_done_callback(partial(_call_with, on_end, entry))
            self._queues[bucket.key].add(entry)
            entries.append(entry)
        return entries

    def _costs(self, items: Sequence[WorkItem]) -> tuple[list[ServedBucket], list[float]]:
        """Return each window's bucket, and its part of the cheapest way to run all of them."""
        buckets = [self.bucket_of(item) for item in items]
        counts = Counter(bucket.key for bucket in buckets)
        costs = {bucket.key: self._forecast.work(bucket, counts[bucket.key]) for bucket in buckets}
        return buckets, [costs[bucket.key] / counts[bucket.key] for bucket in buckets]

    def _share(self, items: Sequence[WorkItem]) -> Share:
        return items[0].share or Share(self.shares, None)

    def _due_at(self, item: WorkItem, bucket: ServedBucket, start: float, now: float) -> float:
        # What is overdue gets half of the devices' time, so work behind its share is due twice as slowly as it is run.
        patient = now + self._patience_seconds + 2 * (start - self.shares.level)
        if item.deadline is None:
            return patient
        return max(now, min(patient, item.deadline - self._forecast.alone(bucket)))

    def take_turns(self) -> None:
        """Put those in turn whose start the service level has reached; if nobody is, the next."""
        queues = [queue for queue in self._queues.values() if len(queue)]
        if queues and not any(queue.in_turn for queue in queues):
            starts = [queue.next_start for queue in queues]
            self.shares.skip_to(min(start for start in starts if start is not None))
        for queue in queues:
            queue.take_turns(self.shares.level)

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
