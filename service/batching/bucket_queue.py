"""What the scheduler takes and gives back, and the queue of one bucket.

In the queue stand first those in turn, who is due first in front, and then those whose request has had more than its
share (`service.batching.shares`).
"""

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from bigbird_inference.buckets import ModelVersion, ServedBucket
from bigbird_inference.errors import ServiceError
from bigbird_inference.runtime.session import Outputs
from bigbird_inference.tokenization.encoded import EncodedSequence
from service.batching.shares import Share


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One encoded sequence that waits for its run.

    Attributes:
        model: Name of the bundle that must run it.
        sequence: The unpadded model input; it fits the model's longest bucket.
        deadline: Monotonic time in seconds after which the result is worthless, or None.
        trace: What the observer needs to connect a batch with this item's request; the scheduler never looks at it.
        version: Which version of the model encoded it, and must run it.
        share: That of its request; None for work that is a request of its own.
    """

    model: str
    sequence: EncodedSequence
    deadline: float | None = None
    trace: Any = None
    version: int = 1
    share: Share | None = None

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


@dataclass(slots=True, eq=False)
class QueuedItem:
    """An accepted work item and the future its requester waits on.

    Compared and hashed by identity: two requests may hold equal items.

    Attributes:
        item: What to run.
        bucket: The shortest that holds it.
        future: Receives the result or one error, exactly once.
        accepted_at: Time of acceptance on the scheduler's clock, in seconds.
        due_at: From when on it is overdue (`service.batching.policy`).
        number: Order of acceptance among all items.
        start: The service level at which it is in turn.
        cost: Its part of the cheapest way to run its request, in seconds.
        in_turn: Whether the level has reached it.
        first: Whether it was in turn at once: it was its request's first, or its request had its share to come.
    """

    item: WorkItem
    bucket: ServedBucket
    future: asyncio.Future[InferenceResult]
    accepted_at: float
    due_at: float
    number: int
    start: float = 0.0
    cost: float = 0.0
    in_turn: bool = True
    first: bool = True

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


@dataclass(frozen=True, slots=True)
class Place:
    """Where work that is accepted now would stand: the fields of `QueuedItem` that say so."""

    due_at: float
    start: float
    first: bool


def _urgency(entry: QueuedItem) -> Urgency:
    return entry.urgency


def fail_all(entries: Iterable[QueuedItem], error: Callable[[], ServiceError]) -> None:
    """Let those that have not ended fail, each with an error of its own."""
    for entry in entries:
        if not entry.future.done():
            entry.future.set_exception(error())


def _turn(entry: QueuedItem) -> tuple[float, int]:
    return entry.start, entry.number


class BucketQueue:
    """Those in turn in the order of `due_at`, then the others in that of `start`; any entry can be taken out."""

    def __init__(self, bucket: ServedBucket) -> None:
        self.bucket = bucket
        self._in_turn: list[QueuedItem] = []
        self._behind: list[QueuedItem] = []
        self._tokens = 0

    def __len__(self) -> int:
        return len(self._in_turn) + len(self._behind)

    def __iter__(self) -> Iterator[QueuedItem]:
        return chain(self._in_turn, self._behind)

    def __contains__(self, entry: QueuedItem) -> bool:
        entries, position = self._place(entry)
        return position < len(entries) and entries[position] is entry

    @property
    def in_turn(self) -> int:
        """How many are."""
        return len(self._in_turn)

    @property
    def due_first(self) -> QueuedItem:
        """The entry that is due first; the queue must not be empty."""
        return min(chain(self._in_turn[:1], self._behind), key=_urgency)

    @property
    def next_start(self) -> float | None:
        """The service level at which another entry is in turn, or None if all are."""
        return self._behind[0].start if self._behind else None

    @property
    def tokens(self) -> int:
        """Real tokens that wait."""
        return self._tokens

    def ahead_of(self, place: Place) -> int:
        """Return how many go before work of this place: in turn by when they are due, the others by their start."""
        due = self._in_turn[: bisect_right(self._in_turn, (place.due_at, _NEVER, _NEVER), key=_urgency)]
        in_turn = sum(entry.first for entry in due) if place.first else len(due)
        return in_turn + bisect_right(self._behind, (place.start, _NEVER), key=_turn)

    def add(self, entry: QueuedItem) -> None:
        """Put an entry in its place."""
        if entry.in_turn:
            insort(self._in_turn, entry, key=_urgency)
        else:
            insort(self._behind, entry, key=_turn)
        self._tokens += entry.tokens

    def remove(self, entry: QueuedItem) -> None:
        """Take out an entry, wherever it stands."""
        entries, position = self._place(entry)
        del entries[position]
        self._tokens -= entry.tokens

    def take_turns(self, level: float) -> None:
        """Put those in turn whose start the service level has reached."""
        count = bisect_right(self._behind, (level, _NEVER), key=_turn)
        for entry in self._behind[:count]:
            entry.in_turn = True
            insort(self._in_turn, entry, key=_urgency)
        del self._behind[:count]

    def _place(self, entry: QueuedItem) -> tuple[list[QueuedItem], int]:
        """Return where an entry stands if it is here."""
        if entry.in_turn:
            return self._in_turn, bisect_left(self._in_turn, entry.urgency, key=_urgency)
        return self._behind, bisect_left(self._behind, _turn(entry), key=_turn)
