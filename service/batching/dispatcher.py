"""One batch after another to whichever device is free, for as long as there is work.

Whenever a device has nothing to do, the policy chooses the next batch from the one set of queues, so that devices share
all work and none of them has a queue of its own. A device that may be given a second batch while it runs the first one
gets it only if all devices are busy and more waits than fits into it: what arrives in the meantime could not have
joined that batch anyway, and a batch that is not full waits for more until a device is free.

It wakes on events (an arrival, a batch that has ended, the death of a device) and never polls.
"""

import asyncio
import contextlib
from collections.abc import Callable

from service.batching.policy import BatchPolicy, Selection
from service.batching.served_devices import ServedDevice, ServedDevices
from service.batching.waiting_room import WaitingRoom


class Dispatcher:
    """Gives batches to devices.

    Args:
        devices: All devices.
        room: What waits.
        policy: Chooses each batch.
        clock: Monotonic seconds.
        on_batch_end: Called when a batch has ended.

    Attributes:
        draining: Nothing arrives any more that could join a batch, so none waits for more.
    """

    def __init__(
        self,
        devices: ServedDevices,
        room: WaitingRoom,
        policy: BatchPolicy,
        clock: Callable[[], float],
        on_batch_end: Callable[[], None],
    ) -> None:
        self._devices = devices
        self._room = room
        self.policy = policy
        self._clock = clock
        self._on_batch_end = on_batch_end
        self._event = asyncio.Event()
        self.draining = False

    def wake(self) -> None:
        """Look again: something arrived, or a device has changed."""
        self._event.set()

    async def run(self) -> None:
        """Form batches until cancelled; a failure in here, or in a batch's task, ends it and all batches."""
        async with asyncio.TaskGroup() as batches:
            while True:
                await self._event.wait()
                self._event.clear()
                while (start_at := self._begin_batches(batches)) is not None:
                    await self._wait_for_more(start_at)

    def _begin_batches(self, batches: asyncio.TaskGroup) -> float | None:
        """Begin what can begin now; return when the next batch is to start if it waits for more until then.

        No name in here outlives the call: one that did would keep the sessions of a model that is served no more.
        """
        while (device := self._free_device()) is not None:
            selection = self._next_batch()
            if selection is None or (device.batches and not self._leaves_some(selection)):
                break
            if selection.start_at > self._clock() and not self.draining:
                return selection.start_at
            for entry in selection.entries:
                self._room.remove(entry)
            self._room.shares.spend(sum(entry.cost for entry in selection.entries))
            self.policy.begun(selection)
            device.begin(selection, batches).add_done_callback(self._batch_ended)
        return None

    def _free_device(self) -> ServedDevice | None:
        """Return the device that has least, the first of equal ones."""
        free = [device for device in self._devices if device.has_place]
        return min(free, key=lambda device: device.batches) if free else None

    def _next_batch(self) -> Selection | None:
        now = self._clock()
        self._room.drop_unreachable(now)
        self._room.take_turns()
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
        self._on_batch_end()
        self.wake()
