"""What the scheduler takes and gives back, and the queue of one bucket, the entry that is due first in front."""

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from bigbird_inference.buckets import ModelVersion, ServedBucket
from bigbird_inference.errors import ServiceError
from bigbird_inference.runtime.session import Outputs
from bigbird_inference.tokenization.encoded import EncodedSequence


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One encoded sequence that waits for its run.

    Attributes:
        model: Name of the bundle that must run it.
        sequence: The unpadded model input; it fits the model's longest bucket.
        deadline: Monotonic time in seconds after which the result is worthless, or None.
        trace: What the observer needs to connect a batch with this item's request; the scheduler never looks at it.
        version: Which version of the model encoded it, and must run it.
    """

    model: str
    sequence: EncodedSequence
    deadline: float | None = None
    trace: Any = None
    version: int = 1

    @property
    def model_version(self) -> ModelVersion:
        """What must run it."""
        return ModelVersion(self.model, self.version)


@dataclass(frozen=True, slots=True)
class InferenceResult:
    """The outputs of one sequence and how they came about.

    Attributes:
        outputs: By name, float32, without the batch axis and without padding: `[values]`, or `[length, values]`
            with a row for each token of the sequence, or for each of its positions where it has some.
        bucket: Padded length in tokens that the sequence ran in.
        queue_seconds: Time from acceptance until the batch was begun.
        collate_seconds: Time in which the batch was put together.
        inference_seconds: Duration of the batch's run.
        finished_at: When the outputs were there, on the scheduler's clock.
    """

    outputs: Outputs
    bucket: int
    queue_seconds: float
    collate_seconds: float
    inference_seconds: float
    finished_at: float


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


def fail_all(entries: Iterable[QueuedItem], error: Callable[[], ServiceError]) -> None:
    """Let those that have not ended fail, each with an error of its own."""
    for entry in entries:
        if not entry.future.done():
            entry.future.set_exception(error())


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
