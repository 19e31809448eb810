"""The running service as one typed object: its models, its scheduler and its state.

The application makes one and routes receive it; tests make one around fake sessions.

    loading -> warming -> ready -> draining
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import get_args

from service.batching.admission import QueueLimits
from service.batching.batch_limits import BatchLimits
from service.batching.batch_runner import StuckRule
from service.batching.cost_model import CostModel
from service.batching.executor import Executor, ThreadExecutor
from service.batching.least_delay import LeastDelay
from service.batching.refusals import shutting_down
from service.batching.resident_memory import available_bytes
from service.batching.scheduler import Scheduler, SchedulerOptions
from service.bundle import TaskName
from service.errors import InvalidInput, ModelNotFound, NotReady, ServiceError
from service.loading import LoadedModel
from service.metrics import Metrics
from service.runtime.cores import available_cores
from service.runtime.cuda.memory import GpuMemory, GpuMemoryMeter
from service.runtime.cuda.probe import gpu_memory
from service.runtime.devices import Devices
from service.settings import Settings

logger = logging.getLogger(__name__)

ENDPOINTS: Mapping[TaskName, str] = {name: f"/{name}" for name in get_args(TaskName)}

# One batch that runs, and one that is chosen meanwhile: see `service.batching.served_device`.
_PLACES_ON_A_GPU = 2
# Of what is free after loading; the rest is for the CUDA libraries and recorded graphs.
_SHARE_OF_A_GPU = 0.85


class Serving:
    """Accepts requests for loaded models while it is ready.

    Args:
        settings: The service's settings.
        models: Loaded models by name, all on the same devices.
        metrics: Receives everything that is counted.
        on_failure: Called once, on the event loop, if the models cannot be warmed: the server must not stay up.
        executors: What runs each device's batches, in the devices' order; by default a thread for each.
    """

    def __init__(
        self,
        settings: Settings,
        models: Mapping[str, LoadedModel],
        metrics: Metrics,
        on_failure: Callable[[], None] = lambda: None,
        *,
        executors: Sequence[Executor] | None = None,
    ) -> None:
        self.settings = settings
        self.models = models
        self.metrics = metrics
        self.devices = next((model.devices for model in models.values()), Devices())
        names = self.devices.names
        executors = executors or [ThreadExecutor(f"executor {name}") for name in names]
        gpu = gpu_memory(names[0]) if self.devices.on_gpu else None
        buckets = [bucket for model in models.values() for bucket in model.buckets()]
        self.cost_model = CostModel()
        batch_limits = BatchLimits(
            settings.max_batch_items, settings.max_batch_tokens, _batch_memory_bytes(settings, gpu)
        )
        self.scheduler = Scheduler(
            buckets,
            executors=dict(zip(names, executors, strict=True)),
            policy=LeastDelay(self.cost_model, batch_limits, settings.batch_delay_ms / 1000),
            limits=QueueLimits(settings.max_queued_items, settings.max_queued_tokens),
            batch_limits=batch_limits,
            cost_model=self.cost_model,
            observer=metrics,
            options=SchedulerOptions(
                patience_seconds=settings.queue_patience_seconds,
                warm_up_seconds=settings.warm_up_seconds,
                stuck_rule=StuckRule(settings.stuck_run_factor, settings.stuck_run_seconds),
                places=_PLACES_ON_A_GPU if self.devices.on_gpu else 1,
            ),
            probe=None if gpu is None else GpuMemoryMeter(gpu),
        )
        # Encoding and decoding release the interpreter only in part; more threads than cores gain nothing.
        self.text_threads = ThreadPoolExecutor(max(2, available_cores()), thread_name_prefix="text")
        self.draining = False
        self._on_failure = on_failure
        self._warming: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Start the executors and begin to warm the models; returns before they are warm."""
        for model in self.models.values():
            endpoint = ENDPOINTS[model.manifest.task]
            self.metrics.declare_model(model.name, model.manifest, endpoint, model.weights_bytes)
            for bucket in model.buckets():
                self._watch_queue(model.name, bucket.length)
        self.metrics.watch_service(
            lambda: self.scheduler.waiting_tokens,
            lambda: float(self.ready),
            lambda: float(self.degraded is not None),
        )
        for number, name in enumerate(self.devices.names):
            self._watch_device(number, name)
        self._loop = asyncio.get_running_loop()
        await self.scheduler.start()
        self._warming = asyncio.create_task(self._warm_up(), name="warm-up")

    async def warmed(self) -> None:
        """Wait until the models are warm, or have failed to become so."""
        if self._warming is not None:
            await asyncio.wait([self._warming])

    def begin_drain(self) -> None:
        """Refuse new requests from now on; those already accepted have the drain timeout to finish."""
        if self.draining:
            return
        logger.info("draining: new requests are refused, accepted ones are answered")
        self.draining = True
        self._deadline = asyncio.get_running_loop().call_later(
            self.settings.drain_timeout_seconds, self.scheduler.close, shutting_down
        )

    def begin_drain_from_signal(self) -> None:
        """Do `begin_drain` soon; a signal handler may interrupt the event loop anywhere."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.begin_drain)

    async def stop(self) -> None:
        """Drain and stop."""
        self.begin_drain()
        if self._warming is not None:
            self._warming.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._warming
        await self.scheduler.drain(self.settings.drain_timeout_seconds)
        if self._deadline is not None:
            self._deadline.cancel()
        self.text_threads.shutdown(wait=False, cancel_futures=True)

    @property
    def fault(self) -> ServiceError | None:
        """Why only a restart helps (a device's executor is dead, or stuck in a run), or None."""
        return self.scheduler.fault

    @property
    def degraded(self) -> str | None:
        """Why the CPU serves although a GPU was to be expected, or None."""
        return self.devices.degraded

    @property
    def ready(self) -> bool:
        """Whether requests are accepted, as far as the queue has room."""
        try:
            self.ensure_running()
        except NotReady:
            return False
        return True

    def ensure_running(self) -> None:
        """Do nothing if the models are warm, a device runs them and nothing is shutting down.

        Raises:
            NotReady: One of these is not so; `Draining` while shutting down.
        """
        if self.draining:
            raise shutting_down()
        self.scheduler.ensure_running()

    def choose_model(self, task: TaskName, name: str | None) -> LoadedModel:
        """Return the model that a request asks for, or the only one of its task.

        Raises:
            ModelNotFound: There is none of that name or task.
            InvalidInput: The request names none and several would do.
        """
        candidates = {model.name: model for model in self.models.values() if model.manifest.task == task}
        choices = ", ".join(sorted(candidates)) or "none"
        if name is None:
            if len(candidates) == 1:
                return next(iter(candidates.values()))
            if candidates:
                raise InvalidInput(f"model is needed, because several models serve this task: {choices}")
            raise ModelNotFound(f"No loaded model serves {ENDPOINTS[task]}; see /v1/models.")
        if name in candidates:
            return candidates[name]
        if name in self.models:
            endpoint = ENDPOINTS[self.models[name].manifest.task]
            raise ModelNotFound(f"The model {name!r} serves {endpoint}, not {ENDPOINTS[task]}; models here: {choices}")
        raise ModelNotFound(f"There is no model {name!r}; models here: {choices}")

    async def _warm_up(self) -> None:
        try:
            await self.scheduler.warm_up()
        except Exception:
            logger.critical("the models could not be warmed", exc_info=True)
            self._on_failure()
        else:
            logger.info("ready: %s", ", ".join(sorted(self.models)))

    def _watch_queue(self, model: str, bucket: int) -> None:
        self.metrics.watch_queue(
            model,
            bucket,
            lambda: self.scheduler.waiting_items(model, bucket),
            lambda: self.scheduler.oldest_age(model, bucket),
        )

    def _watch_device(self, number: int, name: str) -> None:
        self.metrics.watch_device(
            name,
            self.devices.descriptions[number],
            lambda: float(self.scheduler.devices[number].alive),
            lambda: float(self.scheduler.devices[number].stuck),
        )


def _batch_memory_bytes(settings: Settings, gpu: GpuMemory | None) -> int | None:
    """Return what one batch may take; all sessions of a device share what the largest has taken."""
    if settings.max_batch_memory_bytes:
        return settings.max_batch_memory_bytes
    if gpu is not None:
        most = int(gpu.free_bytes() * _SHARE_OF_A_GPU)
        return min(most, settings.gpu_memory_limit_bytes or most)
    available = available_bytes()
    return None if available is None else available // 2
