"""The devices as the scheduler sees them: threads that run batches, and places for the batches given to them.

On the CPU a device has one place: the next batch is chosen when the last one has ended, so that the choice knows
everything that waits. A GPU's runs are short, and between two of them it would wait for the event loop; it has a second
place, which is filled ahead while the first batch runs. The batches of a device still run one after the other, on one
thread.

A device that dies takes what it was given with it; the others go on. One that is stuck gets nothing more.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from bigbird_inference.errors import ServiceError
from service.batching.batch_runner import BatchRunner
from service.batching.bucket_queue import QueuedItem
from service.batching.executor import Executor, ExecutorCalls
from service.batching.policy import Selection
from service.batching.unavailable import executor_stopped, run_stuck

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeviceState:
    """One device of the scheduler.

    Attributes:
        name: For example `cpu` or `cuda:0`.
        alive: Whether the thread that runs its batches lives.
        stuck: Whether its run takes so much longer than predicted that it may never end.
    """

    name: str
    alive: bool
    stuck: bool

    @property
    def usable(self) -> bool:
        """Whether it can be given work."""
        return self.alive and not self.stuck


MakeRunner = Callable[[ExecutorCalls, str, int], BatchRunner]
"""From a device's executor, name and number to what takes one batch to its end there."""


class ServedDevice:
    """A device and what it was given.

    Args:
        name: For example `cpu` or `cuda:0`.
        calls: Its executor.
        runners: What takes batches to their end on it, one for each place.
    """

    def __init__(self, name: str, calls: ExecutorCalls, runners: Sequence[BatchRunner]) -> None:
        self.name = name
        self.calls = calls
        self._runners = runners

    @property
    def state(self) -> DeviceState:
        """What is known of it now."""
        return DeviceState(self.name, self.calls.alive, any(runner.stuck for runner in self._runners))

    @property
    def batches(self) -> int:
        """How many batches it has."""
        return sum(bool(runner.entries) for runner in self._runners)

    @property
    def has_place(self) -> bool:
        """Whether it can be given a batch."""
        return self.batches < len(self._runners) and self.state.usable

    @property
    def entries(self) -> list[QueuedItem]:
        """Everything that it was given and has not finished."""
        return [entry for runner in self._runners for entry in runner.entries]

    @property
    def remaining_seconds(self) -> float:
        """What its batches should still take."""
        return sum(runner.remaining_seconds for runner in self._runners)

    def begin(self, selection: Selection, batches: asyncio.TaskGroup) -> asyncio.Task[None]:
        """Give it a batch; there must be a place. The task ends when every future of the batch is done."""
        runner = next(runner for runner in self._runners if not runner.entries)
        batch = runner.begin(selection, batches, behind=self.batches > 0)
        batch.add_done_callback(self._batch_ended)
        return batch

    def end_unwanted_runs(self) -> None:
        """End what nobody waits for; called when somebody has gone."""
        for runner in self._runners:
            runner.end_unwanted_run()

    def _batch_ended(self, batch: asyncio.Task[None]) -> None:
        for runner in self._runners:
            runner.comes_first()


class ServedDevices:
    """All devices, by the order of the buckets' sessions.

    Args:
        executors: What runs each device's batches, by its name.
        make_runner: Makes a runner.
        places: How many batches a device may be given at once.
    """

    def __init__(self, executors: Mapping[str, Executor], make_runner: MakeRunner, places: int) -> None:
        self._devices: list[ServedDevice] = []
        for number, (name, executor) in enumerate(executors.items()):
            calls = ExecutorCalls(executor)
            runners = [make_runner(calls, name, number) for _ in range(places)]
            self._devices.append(ServedDevice(name, calls, runners))

    def __iter__(self) -> Iterator[ServedDevice]:
        return iter(self._devices)

    def __len__(self) -> int:
        return len(self._devices)

    def __getitem__(self, number: int) -> ServedDevice:
        return self._devices[number]

    @property
    def states(self) -> list[DeviceState]:
        """What is known of every device now."""
        return [device.state for device in self._devices]

    @property
    def usable(self) -> list[ServedDevice]:
        """Those that can be given work, now or later."""
        return [device for device in self._devices if device.state.usable]

    @property
    def busy(self) -> bool:
        """Whether any has a batch."""
        return any(device.batches for device in self._devices)

    @property
    def entries(self) -> list[QueuedItem]:
        """Everything that was given to a device and has not finished."""
        return [entry for device in self._devices for entry in device.entries]

    @property
    def fault(self) -> ServiceError | None:
        """Why only a restart helps: a device is dead, or stuck in a run; or None."""
        states = self.states
        if not all(state.alive for state in states):
            return executor_stopped()
        return run_stuck() if any(state.stuck for state in states) else None

    def start(self, on_death: Callable[[list[QueuedItem]], None], on_last_death: Callable[[], None]) -> None:
        """Start all executors, on the running event loop.

        Args:
            on_death: Called with what a device had been given when it dies.
            on_last_death: Called then as well if no other device lives.
        """
        for device in self._devices:
            device.calls.start(partial(self._died, device, on_death, on_last_death))

    def stop(self) -> None:
        """Let all executors end after what they have."""
        for device in self._devices:
            device.calls.stop()

    def end_unwanted_runs(self) -> None:
        """End what nobody waits for; called when somebody has gone."""
        for device in self._devices:
            device.end_unwanted_runs()

    def _died(
        self, device: ServedDevice, on_death: Callable[[list[QueuedItem]], None], on_last_death: Callable[[], None]
    ) -> None:
        logger.critical("the device %s runs nothing any more", device.name)
        on_death(device.entries)
        if not any(other.calls.alive for other in self._devices):
            on_last_death()
