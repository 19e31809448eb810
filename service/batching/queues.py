"""Everything that waits: one queue for each bucket, the entry that is due first in front.

Queues are opened and closed while the server runs. The tables are replaced and never changed in place, because metrics
read them from another thread.
"""

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from bigbird_inference.buckets import BucketKey, ModelVersion, ServedBucket, smallest_bucket
from service.batching.forecast import Forecast
from service.batching.work_item import InferenceResult, WorkItem

Urgency = tuple[float, float, float]

_NEVER = float("inf")


@dataclass(frozen=True, slots=True, eq=False)
class QueuedItem:
    """An accepted work item and the future its requester waits on.

    Compared and hashed by identity: two requests may hold equal items.

    Attributes:
        item: What to run.
        bucket: The shortest that holds it.
        future: Receives the result or one error, exactly once.
        accepted_at: Time of acceptance on the scheduler's clock, in seconds.
        due_at: From when on nothing that was accepted later may go before it.
        number: Order of acceptance among all items.
    """

    item: WorkItem
    bucket: ServedBucket
    future: asyncio.Future[InferenceResult]
    accepted_at: float
    due_at: float
    number: int

    @property
    def tokens(self) -> int:
        """Real tokens, without padding."""
        return len(self.item.sequence)

    @property
    def positions(self) -> int:
        """How many tokens are to be predicted; 0 for models that take no positions."""
        return 0 if self.item.sequence.positions is None else len(self.item.sequence.positions)

    @property
    def urgency(self) -> Urgency:
        """The order of entries: by due time, then by deadline, then by acceptance."""
        return self.due_at, _NEVER if self.item.deadline is None else self.item.deadline, self.number

    def expired(self, now: float) -> bool:
        """Tell whether the deadline has passed."""
        return self.item.deadline is not None and now >= self.item.deadline


def _urgency(entry: QueuedItem) -> Urgency:
    return entry.urgency


class BucketQueue:
    """In the order of `due_at`; any entry can be taken out of the middle."""

    def __init__(self, bucket: ServedBucket) -> None:
        self.bucket = bucket
        self._entries: list[QueuedItem] = []
        self._tokens = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[QueuedItem]:
        return iter(self._entries)

    def __contains__(self, entry: QueuedItem) -> bool:
        position = bisect_left(self._entries, entry.urgency, key=_urgency)
        return position < len(self._entries) and self._entries[position] is entry

    @property
    def first(self) -> QueuedItem:
        """The entry that is due first; the queue must not be empty."""
        return self._entries[0]

    @property
    def tokens(self) -> int:
        """Real tokens that wait."""
        return self._tokens

    def due_until(self, due_at: float) -> int:
        """Return how many entries are due at this time or earlier."""
        return bisect_right(self._entries, (due_at, _NEVER, _NEVER), key=_urgency)

    def add(self, entry: QueuedItem) -> None:
        """Put an entry in its place."""
        insort(self._entries, entry, key=_urgency)
        self._tokens += entry.tokens

    def remove(self, entry: QueuedItem) -> None:
        """Take out an entry, wherever it stands."""
        del self._entries[bisect_left(self._entries, entry.urgency, key=_urgency)]
        self._tokens -= entry.tokens


class WaitingRoom:
    """The queues.

    Args:
        buckets: What is served at first.
        forecast: Says how long an item runs alone.
        patience_seconds: After so long in the queue an item is due, and goes before everything younger.
    """

    def __init__(self, buckets: Iterable[ServedBucket], forecast: Forecast, patience_seconds: float) -> None:
        self._queues: dict[BucketKey, BucketQueue] = {}
        self._lengths: dict[ModelVersion, list[int]] = {}
        self.open(buckets)
        self._forecast = forecast
        self._patience_seconds = patience_seconds
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

    def hopeless(self, now: float) -> list[QueuedItem]:
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
