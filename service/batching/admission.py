"""How much work may wait, and the refusal of what goes beyond or would come too late."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bigbird_inference.errors import DeadlineUnreachable, QueueFull, TextTooLarge
from service.batching.bucket_queue import WorkItem
from service.batching.cost_model import ServiceRate
from service.batching.forecast import Forecast
from service.batching.served_devices import ServedDevices
from service.batching.waiting_room import WaitingRoom


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Bounds on everything that waits, over all models and buckets.

    Attributes:
        max_items: Most windows that wait.
        max_tokens: Most real tokens that wait.
    """

    max_items: int
    max_tokens: int

    def refuse_oversized(self, items: int, tokens: int) -> None:
        """Refuse a request that an empty queue could not take either, so that nobody retries it.

        Raises:
            TextTooLarge: The request alone is over a bound.
        """
        if items > self.max_items or tokens > self.max_tokens:
            raise TextTooLarge(
                f"The request makes {items} windows of {tokens} tokens together; at most {self.max_items} windows and "
                f"{self.max_tokens} tokens can wait at once. Send it in parts, or with a smaller window_stride."
            )

    def refuse_overflow(self, items: int, tokens: int, retry_after_seconds: float) -> None:
        """Refuse when the queue would hold `items` and `tokens`, which is more than it may.

        Raises:
            QueueFull: It may fit later.
        """
        if items > self.max_items or tokens > self.max_tokens:
            raise QueueFull("The queue is full; nothing was accepted.", retry_after_seconds=retry_after_seconds)


def refuse_unreachable(needed_seconds: float, left_seconds: float) -> None:
    """Refuse a request that could not be finished before its deadline.

    Args:
        needed_seconds: What the cost model says of the work ahead and of the request's own.
        left_seconds: Time until the deadline.

    Raises:
        DeadlineUnreachable: There is less time than is needed.
    """
    if needed_seconds > left_seconds:
        raise DeadlineUnreachable(
            f"By the measured speed the work ahead of the request and its own take {needed_seconds:.2f} s, and it has "
            f"{max(left_seconds, 0.0):.2f} s; nothing was run."
        )


class Admission:
    """Looks at the queues and the devices, and refuses what cannot be taken now.

    Args:
        limits: Bounds on what waits.
        room: What waits.
        devices: What runs it.
        rate: How fast, to say when a refused client may come back.
        forecast: How long the work ahead of a request takes.
        clock: Monotonic seconds, on which deadlines are.
        keeps_deadlines: Whether work that cannot make its deadline is refused.
    """

    def __init__(
        self,
        limits: QueueLimits,
        room: WaitingRoom,
        devices: ServedDevices,
        *,
        rate: ServiceRate,
        forecast: Forecast,
        clock: Callable[[], float],
        keeps_deadlines: bool,
    ) -> None:
        self._limits = limits
        self._room = room
        self._devices = devices
        self._rate = rate
        self._forecast = forecast
        self._clock = clock
        self._keeps_deadlines = keeps_deadlines
        self._expected = 0

    def check(self, items: Sequence[WorkItem]) -> None:
        """Do nothing if all windows of a request can be taken.

        Raises:
            QueueFull, TextTooLarge, DeadlineUnreachable: They cannot.
        """
        tokens = sum(len(item.sequence) for item in items)
        self._limits.refuse_oversized(len(items), tokens)
        self._refuse_overflow(len(items), tokens)
        if self._keeps_deadlines:
            self._refuse_unreachable(items)

    @contextlib.contextmanager
    def expected(self, documents: int) -> Iterator[None]:
        """Keep a place for each document while its windows are made, at least one.

        Under a flood the work before the queue would cost more than the refusal, and hold up what was accepted.

        Raises:
            QueueFull, TextTooLarge: The windows could not be accepted, as things stand; make none.
        """
        self._limits.refuse_oversized(documents, 0)
        self._refuse_overflow(self._expected + documents, 0)
        self._expected += documents
        try:
            yield
        finally:
            self._expected -= documents

    def _refuse_overflow(self, items: int, tokens: int) -> None:
        waiting_tokens = self._room.tokens
        self._limits.refuse_overflow(
            self._room.items + items,
            waiting_tokens + tokens,
            retry_after_seconds=self._rate.seconds_for(waiting_tokens, len(self._devices.usable)),
        )

    def _refuse_unreachable(self, items: Sequence[WorkItem]) -> None:
        deadlines = [item.deadline for item in items if item.deadline is not None]
        if not deadlines:
            return
        now = self._clock()
        buckets = [self._room.bucket_of(item) for item in items]
        due_at = max(self._room.due_at(item, bucket, now) for item, bucket in zip(items, buckets, strict=True))
        remaining = [device.remaining_seconds for device in self._devices.usable]
        needed = self._forecast.finish(self._room.queues, buckets, due_at, remaining)
        refuse_unreachable(needed, min(deadlines) - now)
