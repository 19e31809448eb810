"""The sequences that wait for one bucket of one model, oldest first."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from service.batching.buckets import ServedBucket
from service.batching.work_item import InferenceResult, WorkItem


@dataclass(frozen=True, slots=True, eq=False)
class QueuedItem:
    """An accepted work item and the future its requester waits on.

    Compared and hashed by identity: two requests may hold equal items.

    Attributes:
        item: What to run.
        future: Receives the result or one error, exactly once.
        accepted_at: Time of acceptance on the scheduler's clock, in seconds.
    """

    item: WorkItem
    future: asyncio.Future[InferenceResult]
    accepted_at: float

    @property
    def tokens(self) -> int:
        """Real tokens, without padding."""
        return len(self.item.sequence)

    def expired(self, now: float) -> bool:
        """Tell whether the deadline has passed."""
        return self.item.deadline is not None and now >= self.item.deadline


class BucketQueue:
    """First in, first out; any entry can be taken out of the middle when its requester is gone."""

    def __init__(self, bucket: ServedBucket) -> None:
        self.bucket = bucket
        # A dict keeps insertion order and forgets an entry from its middle in constant time; a deque does not.
        self._entries: dict[QueuedItem, None] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[QueuedItem]:
        return iter(self._entries)

    def __contains__(self, entry: QueuedItem) -> bool:
        return entry in self._entries

    @property
    def oldest(self) -> QueuedItem | None:
        """The entry that has waited longest, or None."""
        return next(iter(self._entries), None)

    def append(self, entry: QueuedItem) -> None:
        """Put an entry at the end."""
        self._entries[entry] = None

    def remove(self, entry: QueuedItem) -> None:
        """Take out an entry, wherever it stands."""
        del self._entries[entry]
