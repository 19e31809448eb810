"""The scheduler: accepted windows in, outputs out, every one of them exactly once.

It stands between the requests, which live on the event loop, and the devices, each of which runs one batch at a time on
a thread of its own. One queue per bucket for all devices. Everything here runs on the event loop and wakes on
events: an arrival, a finished batch, a device's death.

    submit_all -> WaitingRoom -> Dispatcher: policy.select -> BatchRunner of a device -> executor: run_batch -> futures

A request may need runs that follow each other. It is admitted once, with the first of them; `open_request` tells the
scheduler that it has not ended, and `submit_further` takes the others.

A device that dies takes its own work with it, and the others go on; the death of the last one ends everything.

What is served can change: see `service.batching.served_buckets`.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from bigbird_inference.buckets import ServedBucket
from bigbird_inference.errors import ServiceError
from bigbird_inference.host_memory import MemoryMeter, MemoryProbe
from service.batching.admission import Admission, QueueLimits
from service.batching.batch_limits import BatchLimits
from service.batching.batch_runner import BatchRunner, StuckRule
from service.batching.bucket_queue import InferenceResult, QueuedItem, WorkItem, fail_all
from service.batching.cost_model import CostModel, ServiceRate
from service.batching.dispatcher import Dispatcher
from service.batching.executor import Executor
from service.batching.forecast import Forecast
from service.batching.observer import BatchObserver
from service.batching.policy import BatchPolicy
from service.batching.served_buckets import ServedBuckets
from service.batching.served_devices import DeviceState, ServedDevices
from service.batching.shares import Share
from service.batching.unavailable import executor_stopped, run_stuck, shutting_down, still_warming
from service.batching.waiting_room import WaitingRoom
from service.batching.warm_up import WarmUp

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SchedulerOptions:
    """Numbers that somebody may want to change.

    Attributes:
        patience_seconds: An item that has waited this long goes before everything younger.
        warm_up_seconds: When warm-up stops measuring larger batches.
        stuck_rule: When a run counts as stuck.
        keeps_deadlines: Whether work that cannot make its deadline, by the cost model, is refused and dropped. Off, an
            item is dropped only once its deadline has passed.
        places: How many batches a device may be given at once; see `service.batching.served_devices`.
    """

    patience_seconds: float = 5.0
    warm_up_seconds: float = 0.0
    stuck_rule: StuckRule = field(default_factory=StuckRule)
    keeps_deadlines: bool = True
    places: int = 1


class Scheduler:
    """Batches the windows of all models, on all devices.

    Args:
        buckets: What is served at first, with a session for each device.
        executors: What runs each device's batches, by its name and in the order of the buckets' sessions; the scheduler
            starts and stops them.
        policy: Chooses each batch.
        limits: Bounds on what waits.
        batch_limits: The caps of every bucket.
        cost_model: Predicts runs; the same one that the policy asks.
        observer: Hears what happens.
        options: Patience, warm-up, stuck runs.
        clock: Monotonic seconds; deadlines are on this clock.
        probe: Reads the first device's memory during warm-up.

    Attributes:
        buckets: What is served; it changes while the server runs.
    """

    def __init__(
        self,
        buckets: Iterable[ServedBucket],
        *,
        executors: Mapping[str, Executor],
        policy: BatchPolicy,
        limits: QueueLimits,
        batch_limits: BatchLimits,
        cost_model: CostModel,
        observer: BatchObserver,
        options: SchedulerOptions = SchedulerOptions(),
        clock: Callable[[], float] = time.monotonic,
        probe: MemoryMeter | None = None,
    ) -> None:
        forecast = Forecast(cost_model, batch_limits)
        rate = ServiceRate()
        self._room = WaitingRoom(
            buckets,
            forecast,
            options.patience_seconds,
            observer=observer,
            keeps_deadlines=options.keeps_deadlines,
        )
        self._clock = clock
        self._devices = ServedDevices(
            executors,
            lambda calls, name, number: BatchRunner(
                calls,
                cost_model=cost_model,
                limits=batch_limits,
                rate=rate,
                observer=observer,
                stuck_rule=options.stuck_rule,
                clock=clock,
                device=name,
                number=number,
                on_stuck=self._device_stuck,
            ),
            options.places,
        )
        self._dispatcher = Dispatcher(self._devices, self._room, policy, clock, on_batch_end=self._note_idle)
        self._dispatching: asyncio.Task[None] | None = None
        self._admission = Admission(
            limits,
            self._room,
            self._devices,
            rate=rate,
            forecast=forecast,
            clock=clock,
            keeps_deadlines=options.keeps_deadlines,
        )
        warm_up = WarmUp(
            [device.calls.call for device in self._devices],
            cost_model,
            batch_limits,
            clock,
            options.warm_up_seconds,
            probe or MemoryProbe(),
        )
        self.buckets = ServedBuckets(
            self._room, self._devices, warm_up, cost_model=cost_model, batch_limits=batch_limits, clock=clock
        )
        self._open_requests = 0
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._refusal: Callable[[], ServiceError] | None = still_warming

    @property
    def devices(self) -> Sequence[DeviceState]:
        """What is known of every device now."""
        return self._devices.states

    @property
    def fault(self) -> ServiceError | None:
        """Why only a restart helps (a device or the dispatcher is dead, or a run is stuck), or None."""
        dispatching = self._dispatching is not None and not self._dispatching.done()
        return self._devices.fault if dispatching else executor_stopped()

    @property
    def waiting_tokens(self) -> int:
        """Real tokens in all queues."""
        return self._room.tokens

    def waiting_items(self, model: str, bucket: int) -> int:
        """Windows that wait for one bucket, in all versions of its model."""
        return self._room.items_of(model, bucket)

    def oldest_age(self, model: str, bucket: int) -> float:
        """Seconds for which the oldest window of one bucket has waited; 0 if none waits."""
        return self._room.oldest_age(model, bucket, self._clock())

    def now(self) -> float:
        """Return the time on the scheduler's clock, on which deadlines are."""
        return self._clock()

    async def start(self) -> None:
        """Start the executors. Work is accepted after `warm_up`."""
        self._devices.start(partial(fail_all, error=executor_stopped), partial(self.close, executor_stopped))
        self._dispatching = asyncio.create_task(self._dispatch(), name="batch-dispatcher")

    async def warm_up(self) -> None:
        """Run and measure every bucket, then accept work."""
        await self.buckets.warm_up()
        if self._refusal is still_warming:
            self._refusal = None

    def ensure_running(self) -> None:
        """Do nothing if work is run at all.

        Raises:
            NotReady: Warm-up has not finished, or every device has died or is stuck in a run; `Draining` while shutting
                down.
        """
        if self._refusal is not None:
            raise self._refusal()
        if not self._devices.usable:
            raise run_stuck()

    def submit(self, item: WorkItem) -> asyncio.Future[InferenceResult]:
        """Accept one window; see `submit_all`."""
        return self.submit_all([item])[0]

    def submit_all(self, items: Sequence[WorkItem]) -> list[asyncio.Future[InferenceResult]]:
        """Accept all windows of a request, or none.

        Each future ends once: with a result, with `InferenceFailed`, `DeadlineExceeded`, `NotReady` or `Draining`, or
        cancelled by its owner, which takes the window out of its queue.

        Raises:
            NotReady, QueueFull, TextTooLarge, DeadlineUnreachable: Nothing was accepted.
        """
        self.ensure_running()
        self._admission.check(items)
        return self._accept(items)

    @contextlib.contextmanager
    def expected(self, documents: int) -> Iterator[Callable[[int, int], None]]:
        """Keep places for a request while its windows are made; see `Admission.expected`.

        Raises:
            NotReady, QueueFull, TextTooLarge: The windows could not be accepted, as things stand; make none.
        """
        self.ensure_running()
        with self._admission.expected(documents) as expect:
            yield expect

    @contextlib.contextmanager
    def open_request(self, key: str | None = None) -> Iterator[Share]:
        """Give a request its share of the devices; a drain waits for it also between two of its runs.

        Args:
            key: Whose request it is, or None if nobody is known by a key.
        """
        self._open_requests += 1
        self._idle.clear()
        try:
            with self._room.shares.open(key) as share:
                yield share
        finally:
            self._open_requests -= 1
            self._note_idle()

    def submit_further(self, items: Sequence[WorkItem]) -> list[asyncio.Future[InferenceResult]]:
        """Accept the next run of an open request whose first run was accepted.

        It is neither too much for the queue, since the request has just left it, nor refused while draining. The
        futures end as those of `submit_all` do.

        Raises:
            NotReady: Nothing is run any more.
        """
        if self._closed:
            self.ensure_running()
        return self._accept(items)

    async def drain(self, timeout: float) -> None:
        """Refuse new work, finish what was accepted, stop the executors.

        What has not finished after `timeout` seconds fails with `Draining`.
        """
        if self._refusal is not executor_stopped:
            self._refusal = shutting_down
        self._dispatcher.draining = True
        self._dispatcher.wake()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        self.close(shutting_down)
        self._devices.stop()
        if self._dispatching is not None:
            self._dispatching.cancel()

    def close(self, refusal: Callable[[], ServiceError]) -> None:
        """Fail everything that waits or runs, and everything that comes later, with this error."""
        self._refusal = refusal
        self._closed = True
        fail_all([*self._room.take_all(), *self._devices.entries], refusal)
        self._note_idle()

    def _device_stuck(self) -> None:
        """Fail what waits if no device is left that could run it: the stuck ones may never run again."""
        if not self._devices.usable:
            fail_all(self._room.take_all(), run_stuck)
            self._note_idle()

    async def _dispatch(self) -> None:
        try:
            await self._dispatcher.run()
        except Exception:
            logger.critical("the dispatcher ended", exc_info=True)
            self.close(executor_stopped)

    # Arrivals and departures.

    def _accept(self, items: Sequence[WorkItem]) -> list[asyncio.Future[InferenceResult]]:
        now = self._clock()
        futures = [entry.future for entry in self._room.add(items, now, self._ended)]
        self._idle.clear()
        self._dispatcher.wake()
        return futures

    def _ended(self, entry: QueuedItem) -> None:
        """Take note that an entry's future is done; its owner may have cancelled it."""
        if not self._room.withdraw(entry, self._clock()):
            self._devices.end_unwanted_runs()
        self._note_idle()

    def _note_idle(self) -> None:
        self.buckets.note_end()
        if not self._open_requests and not self._room.items and not self._devices.busy:
            self._idle.set()
