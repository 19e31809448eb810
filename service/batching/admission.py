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

# The part of the queue that is kept for small requests, and the part of that which a small request takes at most.
_KEPT = 8


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Bounds on everything that waits, over all models and buckets.

    An eighth of both is kept for small requests, of up to an eighth of that: however many lists fill the queue, whoever
    brings one document is not refused for it.

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
        most_items, most_tokens = self._most(items, tokens)
        if items > most_items or tokens > most_tokens:
            raise TextTooLarge(
                f"The request makes {items} windows of {tokens} tokens together; at most {most_items} windows and "
                f"{most_tokens} tokens of such requests can wait at once. Send it in parts, or with a smaller "
                "window_stride."
            )

    def refuse_overflow(
        self,
        items: int,
        tokens: int,
        waiting_items: int,
        waiting_tokens: int,
        retry_after_seconds: Callable[[], float],
    ) -> None:
        """Refuse `items` and `tokens` when the queue would hold more than it may together with what waits.

        Raises:
            QueueFull: It may fit later.
        """
        most_items, most_tokens = self._most(items, tokens)
        if waiting_items + items > most_items or waiting_tokens + tokens > most_tokens:
            raise QueueFull("The queue is full; nothing was accepted.", retry_after_seconds=retry_after_seconds())

    def _most(self, items: int, tokens: int) -> tuple[int, int]:
        """Return how many windows and tokens may wait, as far as a request of this size is concerned."""
        kept_items, kept_tokens = self.max_items // _KEPT, self.max_tokens // _KEPT
        if items * _KEPT <= kept_items and tokens * _KEPT <= kept_tokens:
            return self.max_items, self.max_tokens
        return self.max_items - kept_items, self.max_tokens - kept_tokens


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
        self._expected_items = 0
        self._expected_tokens = 0

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
    def expected(self, documents: int) -> Iterator[Callable[[int, int], None]]:
        """Keep places for a request while its windows are made: one for each document, and what is known of it.

        Under a flood the work before the queue would cost more than the refusal, and hold up what was accepted.

        Yields:
            What to call with the number of windows and tokens of each document that has become windows. It raises as
            soon as the request cannot be accepted any more, as things stand; the other documents need no windows then.

        Raises:
            QueueFull, TextTooLarge: It cannot from the first.
        """
        own_windows = own_tokens = 0

        def expect(windows: int, tokens: int) -> None:
            nonlocal own_windows, own_tokens
            own_windows += windows
            own_tokens += tokens
            self._expected_items += windows
            self._expected_tokens += tokens
            self._limits.refuse_oversized(own_windows, own_tokens)
            others = (self._expected_items - own_windows, self._expected_tokens - own_tokens)
            self._refuse_overflow(own_windows, own_tokens, *others)

        try:
            expect(documents, 0)
            # A document is one window at least, and its place was kept before.
            yield lambda windows, tokens: expect(windows - 1, tokens)
        finally:
            self._expected_items -= own_windows
            self._expected_tokens -= own_tokens

    def _refuse_overflow(self, items: int, tokens: int, expected_items: int = 0, expected_tokens: int = 0) -> None:
        waiting_tokens = self._room.tokens + expected_tokens
        self._limits.refuse_overflow(
            items,
            tokens,
            self._room.items + expected_items,
            waiting_tokens,
            lambda: self._rate.seconds_for(waiting_tokens, len(self._devices.usable)),
        )

    def _refuse_unreachable(self, items: Sequence[WorkItem]) -> None:
        deadlines = [item.deadline for item in items if item.deadline is not None]
        if not deadlines:
            return
        now = self._clock()
        buckets = [self._room.bucket_of(item) for item in items]
        place = self._room.last_place(items, now)
        remaining = [device.remaining_seconds for device in self._devices.usable]
        needed = self._forecast.finish(self._room.queues, buckets, place, remaining)
        refuse_unreachable(needed, min(deadlines) - now)
