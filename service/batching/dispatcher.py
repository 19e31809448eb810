"""One batch after another to whichever device is free, for as long as there is work.

Whenever a device has nothing to do, the policy chooses the next batch from the one set of queues, so that devices share
all work and none of them has a queue of its own. A device that may be given a second batch while it runs the first one
gets it only if all devices are busy and more waits than fits into it: what arrives in the meantime could not have
joined that batch anyway, and a batch that is not full waits for more until a device is free.

It wakes on events (an arrival, a batch that has ended, the death of a device) and never polls.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from service.batching.devices import ServedDevice, ServedDevices
from service.batching.policy import BatchPolicy, Selection
from service.batching.waiting_room import WaitingRoom

logger = logging.getLogger(__name__)


class Dispatcher:
    """Gives batches to devices.

    Args:
        devices: All devices.
        room: What waits.
        policy: Chooses each batch.
        clock: Monotonic seconds.
        before_choice: Called with the time before each choice, to take out what cannot be answered in time any more.
        may_wait: Whether a batch may wait for more: not while draining, when nothing arrives that could join.
        on_batch_end: Called when a batch has ended.
        on_failure: Called once, if the dispatcher or a batch's task fails: nothing is run any more.
    """

    def __init__(
        self,
        devices: ServedDevices,
        room: WaitingRoom,
        policy: BatchPolicy,
        clock: Callable[[], float],
        *,
        before_choice: Callable[[float], None],
        may_wait: Callable[[], bool],
        on_batch_end: Callable[[], None],
        on_failure: Callable[[], None],
    ) -> None:
        self._devices = devices
        self._room = room
        self.policy = policy
        self._clock = clock
        self._before_choice = before_choice
        self._may_wait = may_wait
        self._on_batch_end = on_batch_end
        self._on_failure = on_failure
        self._event = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._batches: set[asyncio.Task[None]] = set()

    @property
    def alive(self) -> bool:
        """Whether batches are formed."""
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._task = asyncio.create_task(self._dispatch(), name="batch-dispatcher")
        self._task.add_done_callback(self._ended)

    def wake(self) -> None:
        """Look again: something arrived, or a device has changed."""
        self._event.set()

    def stop(self) -> None:
        """Form no further batches, and wait for none."""
        for task in [self._task, *self._batches]:
            if task is not None:
                task.cancel()

    async def _dispatch(self) -> None:
        while True:
            await self._event.wait()
            self._event.clear()
            while (start_at := self._begin_batches()) is not None:
                await self._wait_for_more(start_at)

    def _begin_batches(self) -> float | None:
        """Begin what can begin now; return when the next batch is to start if it waits for more until then.

        No name in here outlives the call: one that did would keep the sessions of a model that is served no more.
        """
        while (device := self._free_device()) is not None:
            selection = self._next_batch()
            if selection is None or (device.batches and not self._leaves_some(selection)):
                break
            if selection.start_at > self._clock() and self._may_wait():
                return selection.start_at
            for entry in selection.entries:
                self._room.remove(entry)
            batch = device.begin(selection)
            self._batches.add(batch)
            batch.add_done_callback(self._batch_ended)
        return None

    def _free_device(self) -> ServedDevice | None:
        """Return the device that has least, the first of equal ones."""
        free = [device for device in self._devices if device.has_place]
        return min(free, key=lambda device: device.batches) if free else None

    def _next_batch(self) -> Selection | None:
        now = self._clock()
        self._before_choice(now)
        return self.policy.select(self._room.queues, now)

    def _leaves_some(self, selection: Selection) -> bool:
        return self._room.items > len(selection.entries)

    async def _wait_for_more(self, start_at: float) -> None:
        """Wait for an arrival that may join a batch, until the batch must start."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(start_at - self._clock()):
                await self._event.wait()
        self._event.clear()

    def _batch_ended(self, batch: asyncio.Task[None]) -> None:
        self._batches.discard(batch)
        self._ended(batch)
        self._on_batch_end()
        self.wake()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.critical("the dispatcher ended", exc_info=error)
            if self._task is not None:
                self._task.cancel()
            self._on_failure()
