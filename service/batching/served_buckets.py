"""What is served, while it changes.

A model's buckets are prepared (run and measured, in turns with the traffic), then added, and removed when their last
work is done. Two versions of a model are different buckets.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from bigbird_inference.buckets import ServedBucket
from service.batching.batch_limits import BatchLimits
from service.batching.cost_model import CostModel
from service.batching.served_devices import ServedDevices
from service.batching.waiting_room import WaitingRoom
from service.batching.warm_up import WarmUp

ResultT = TypeVar("ResultT")


class ServedBuckets:
    """Prepares, adds and removes buckets.

    Args:
        room: Their queues.
        devices: What runs them.
        warm_up: Runs and measures them.
        cost_model: What was measured.
        batch_limits: Their caps.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        room: WaitingRoom,
        devices: ServedDevices,
        warm_up: WarmUp,
        *,
        cost_model: CostModel,
        batch_limits: BatchLimits,
        clock: Callable[[], float],
    ) -> None:
        self._room = room
        self._devices = devices
        self._warm_up = warm_up
        self._cost_model = cost_model
        self._batch_limits = batch_limits
        self._clock = clock
        self._something_ended = asyncio.Event()

    async def warm_up(self) -> None:
        """Run and measure every bucket that is served; nothing else runs yet."""
        await self._warm_up.run([queue.bucket for queue in self._room.queues])

    async def note_memory(self) -> None:
        """Take note of the memory in use, after models are loaded and before anything of them runs."""
        await self._warm_up.note_memory()

    def call(self, device: int, function: Callable[[], ResultT]) -> asyncio.Future[ResultT]:
        """Run a function on a device's executor, by its number, in turn with its batches."""
        return self._devices[device].calls.call(function)

    async def prepare(self, buckets: Sequence[ServedBucket]) -> None:
        """Run and measure buckets that are not served yet, beside the work that is.

        Raises:
            Exception: One of them cannot run even one sequence; nothing is kept of them.
        """
        try:
            await self._warm_up.run(buckets, self._give_way)
        except BaseException:
            self._forget(buckets)
            raise

    def add(self, buckets: Iterable[ServedBucket]) -> None:
        """Accept work for these from now on."""
        self._room.open(buckets)

    async def remove(self, buckets: Iterable[ServedBucket]) -> None:
        """Wait until the work of these is done, then know nothing of them any more; nobody may submit more."""
        removed = {bucket.key: bucket for bucket in buckets}
        while any(entry.bucket.key in removed for entry in [*self._room.entries, *self._devices.entries]):
            await self._next_end()
        self._room.close(removed.values())
        self._forget(removed.values())

    def note_end(self) -> None:
        """Take note that a batch has ended, or that something has left a queue."""
        self._something_ended.set()

    async def _give_way(self, device: int, seconds: float) -> None:
        """Let a device work for so long on what waits, if anything does."""
        own = self._devices[device]
        ends_at = self._clock() + seconds
        while self._clock() < ends_at and own.state.usable and (self._room.items or own.batches):
            await self._next_end()

    async def _next_end(self) -> None:
        self._something_ended.clear()
        await self._something_ended.wait()

    def _forget(self, buckets: Iterable[ServedBucket]) -> None:
        for bucket in buckets:
            self._cost_model.forget(bucket.key)
            self._batch_limits.forget(bucket.key)
