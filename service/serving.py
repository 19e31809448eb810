"""The running service as one typed object: its models, its scheduler and its state.

The application makes one and routes receive it; tests make one around fake sessions.

    loading -> warming -> ready -> leaving -> draining
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from bigbird_inference.buckets import ModelVersion
from bigbird_inference.errors import BundleError, NotReady, ServiceError
from bigbird_inference.host_memory import available_bytes
from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.runtime.cores import available_cores
from bigbird_inference.runtime.cuda.nvml import GpuMemory, gpu_memory
from bigbird_inference.runtime.devices import Devices
from service.batching.admission import QueueLimits
from service.batching.batch_limits import BatchLimits
from service.batching.batch_runner import StuckRule
from service.batching.cost_model import CostModel
from service.batching.executor import Executor, ThreadExecutor
from service.batching.policy import LeastDelay
from service.batching.scheduler import Scheduler, SchedulerOptions
from service.batching.unavailable import shutting_down
from service.models.bundle_watch import BundleWatch
from service.models.loading import ModelLoader, within_limits
from service.models.model_changes import ModelChanges, ModelSource
from service.models.model_folder import without_paths
from service.models.served_models import ModelState, ServedModels
from service.settings import Settings
from service.shutdown import Shutdown
from service.telemetry.gpu_metrics import FeatureState
from service.telemetry.metrics import Metrics
from service.text_turns import TextTurns

logger = logging.getLogger(__name__)

# One batch that runs, and one that is chosen meanwhile: see `service.batching.served_devices`.
_PLACES_ON_A_GPU = 2
# Of what is free after loading; the rest is for the CUDA libraries and recorded graphs.
_SHARE_OF_A_GPU = 0.85
_BUNDLE_WATCH_SECONDS = 2.0
# A few runs of single sequences each time.
_ANSWER_WATCH_SECONDS = 300.0


class Serving:
    """Accepts requests for loaded models while it is ready.

    Args:
        settings: The service's settings.
        models: Loaded models by name, all on the same devices; `changes` loads others later.
        metrics: Receives everything that is counted.
        on_failure: Called once, on the event loop, if the models cannot be warmed: the server must not stay up.
        executors: What runs each device's batches, in the devices' order; by default a thread for each.
        source: Opens the bundles that are loaded later, on the same devices.
        addresses: Where the server listens, for the line that says that it is ready.
        failures: Why models that should be served are not, by name.
    """

    def __init__(
        self,
        settings: Settings,
        models: Mapping[str, LoadedModel],
        metrics: Metrics,
        on_failure: Callable[[], None] = lambda: None,
        *,
        executors: Sequence[Executor] | None = None,
        source: ModelSource | None = None,
        addresses: Sequence[str] = (),
        failures: Mapping[str, str] | None = None,
    ) -> None:
        self.settings = settings
        self.models = ServedModels(models, failures)
        self.metrics = metrics
        self.devices = next((model.devices for model in models.values()), Devices())
        names = self.devices.names
        executors = executors or [ThreadExecutor(f"executor {name}") for name in names]
        gpu = gpu_memory(names[0]) if self.devices.on_gpu else None
        buckets = [bucket for model in models.values() for bucket in model.buckets()]
        self.cost_model = CostModel()
        batch_limits = BatchLimits(
            settings.max_batch_items,
            settings.max_batch_tokens,
            _batch_memory_bytes(settings, gpu, len({id(bucket.session) for bucket in buckets})),
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
            probe=gpu,
        )
        # Encoding and decoding release the interpreter only in part; more threads than cores gain nothing.
        threads = max(2, available_cores())
        self.text_threads = ThreadPoolExecutor(threads, thread_name_prefix="text")
        self.text_turns = TextTurns(self.text_threads, threads)
        self.changes = ModelChanges(
            self.models,
            self.scheduler,
            source or ModelLoader(settings, self.devices),
            metrics,
            settings.models,
            self.ensure_running,
        )
        self.shutdown = Shutdown(
            delay_seconds=settings.drain_delay_seconds,
            timeout_seconds=settings.drain_timeout_seconds,
            has_traffic=lambda: self.models.warm,
            on_drain=self.changes.revoke,
            on_timeout=partial(self.scheduler.close, shutting_down),
        )
        self._addresses = addresses
        self._on_failure = on_failure
        self.damaged: Mapping[ModelVersion, str] = {}
        self._warming: asyncio.Task[None] | None = None
        self._watches: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start the executors and begin to warm the models; returns before they are warm."""
        for model in self.models.values():
            self.changes.declare(model)
        self.metrics.watch_models(self.model_states)
        self.metrics.watch_gpu_features(self.gpu_features)
        self.metrics.watch_service(
            lambda: self.scheduler.waiting_tokens,
            lambda: float(self.ready),
            lambda: float(self.devices.degraded is not None),
        )
        for number, name in enumerate(self.devices.names):
            self._watch_device(number, name)
        self.shutdown.allow_signals()
        await self.scheduler.start()
        self._warming = asyncio.create_task(self._warm_up(), name="warm-up")
        self._watches = [asyncio.create_task(self._watch_bundles(), name="bundle watch")]
        if self.devices.on_gpu:
            self._watches.append(asyncio.create_task(self._watch_answers(), name="answer watch"))

    async def warmed(self) -> None:
        """Wait until the models are warm, or have failed to become so."""
        if self._warming is not None:
            await asyncio.wait([self._warming])

    async def stop(self) -> None:
        """Drain and stop."""
        self.shutdown.drain()
        for task in (*self._watches, self._warming):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        await self.scheduler.drain(self.settings.drain_timeout_seconds)
        await self.changes.stop()
        self.shutdown.end()
        self.text_threads.shutdown(wait=False, cancel_futures=True)

    @property
    def fault(self) -> ServiceError | None:
        """Why only a restart helps (a device's executor is dead, or stuck in a run), or None."""
        return self.scheduler.fault

    @property
    def degraded(self) -> str | None:
        """What is not as it should be although requests are answered, or None."""
        failed = [state.name for state in self.models.states() if state.state == "failed"]
        reasons = [
            self.devices.degraded,
            *(model.misplaced for _, model in sorted(self.models.items())),
            f"not served, because they failed: {', '.join(failed)}; see /v1/models" if failed else None,
        ]
        return "; ".join(filter(None, reasons)) or None

    @property
    def ready(self) -> bool:
        """Whether a load balancer should send requests, which are accepted as far as the queue has room."""
        try:
            self.ensure_ready()
        except NotReady:
            return False
        return True

    def ensure_ready(self) -> None:
        """Do nothing if a load balancer should send requests here.

        Raises:
            NotReady: It should not: the server leaves, does not run, or somebody has written into a model's files.
        """
        if self.shutdown.leaving:
            raise shutting_down()
        self.ensure_running()
        self.ensure_undamaged()

    def ensure_running(self) -> None:
        """Do nothing if the models are warm, a device runs them and nothing is shutting down.

        Raises:
            NotReady: One of these is not so; `Draining` while shutting down.
        """
        if self.shutdown.draining:
            raise shutting_down()
        self.scheduler.ensure_running()

    def ensure_undamaged(self, model: str | None = None) -> None:
        """Do nothing if nobody has written into the files that a model, or any, is served from.

        Raises:
            NotReady: Somebody has; a reload or a restart tells what is wrong with the bundle.
        """
        damaged = sorted(name for name in self._damage() if model in (None, name))
        if damaged:
            names = ", ".join(map(repr, damaged))
            raise NotReady(f"Files were changed while they are served; reload or restart. Models: {names}")

    def gpu_features(self) -> list[FeatureState]:
        """Return what became of every rung of every model on each GPU; nothing on a CPU."""
        return [
            (name, device, replace(outcome, reason=without_paths(outcome.reason, self.settings.models)))
            for name, model in sorted(self.models.items())
            for device, ladder in zip(model.devices.names, model.ladders, strict=False)
            for outcome in ladder.outcomes
        ]

    def _damage(self) -> dict[str, str]:
        """Return what was done to the files of models that still are served from them, by name."""
        found = {name: self.damaged.get(model.model_version) for name, model in self.models.items()}
        return {name: why for name, why in found.items() if why is not None}

    def model_states(self) -> list[ModelState]:
        """Return what is known of every model, whether it answers or not."""
        damaged = self._damage()
        return [
            replace(state, state="failed", failure=without_paths(damaged[state.name], self.settings.models))
            if state.state == "ready" and state.name in damaged
            else state
            for state in self.models.states()
        ]

    async def _watch_bundles(self) -> None:
        """Keep `damaged` up to date; the files are looked at beside the event loop."""
        watch, loop = BundleWatch(), asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_BUNDLE_WATCH_SECONDS)
            files = {name: model.files for name, model in self.models.items()}
            versions = {name: model.model_version for name, model in self.models.items()}
            found = await loop.run_in_executor(self.text_threads, watch.damaged, files)
            damaged = {versions[name]: why for name, why in found.items()}
            for version in damaged.keys() - self.damaged.keys():
                logger.error("model %s is not served any more: %s", version.model, damaged[version])
            for version in self.damaged.keys() - damaged.keys():
                logger.warning("model %s is served again", version.model)
            self.damaged = damaged

    async def _watch_answers(self) -> None:
        """Ask GPUs again and again whether they still answer as at the start."""
        while True:
            await asyncio.sleep(_ANSWER_WATCH_SECONDS)
            if self.models.warm:
                await self.check_rungs()

    async def check_rungs(self) -> None:
        """Let every rung of every model answer its probes again, in turn with the batches; a wrong one is given up.

        A device whose first rung is wrong counts as lost.
        """
        for name, model in sorted(self.models.items()):
            for number, ladder in enumerate(model.ladders):
                try:
                    await self.scheduler.buckets.call(number, ladder.check)
                except Exception as error:
                    # Out of memory now, or the device has died, of which the log tells.
                    logger.warning("%s could not be asked again on %s: %s", name, model.devices.names[number], error)

    async def _warm_up(self) -> None:
        try:
            await self.scheduler.buckets.note_memory()
            for model in list(self.models.values()):
                await self._check_answers(model)
            await self.scheduler.warm_up()
        except BundleError as error:
            logger.critical("%s; export the bundle again, or take it out of the folder", error)
            self._on_failure()
        except ServiceError as error:
            logger.critical("the models could not be warmed: %s", error)
            self._on_failure()
        except Exception:
            logger.critical("the models could not be warmed", exc_info=True)
            self._on_failure()
        else:
            self.models.warm = True
            at = f" at {' and '.join(self._addresses)}" if self._addresses else ""
            logger.info("ready: %s%s", ", ".join(sorted(self.models)), at)
            for note in self.models.notes():
                logger.info("%s", note)

    async def _check_answers(self, model: LoadedModel) -> None:
        limits = contextlib.nullcontext() if self.devices.on_gpu else within_limits(model.name, model.manifest)
        try:
            with limits:
                await self.changes.check_answers(model)
        except BundleError as error:
            if not self.settings.allow_failed_models or len(self.models) == 1:
                raise BundleError(f"model {model.name} is not served: {error}") from error
            await self.changes.give_up(model, error)

    def _watch_device(self, number: int, name: str) -> None:
        self.metrics.watch_device(
            name,
            self.devices.descriptions[number],
            lambda: float(self.scheduler.devices[number].alive),
            lambda: float(self.scheduler.devices[number].stuck),
        )


def _batch_memory_bytes(settings: Settings, gpu: GpuMemory | None, sessions: int) -> int | None:
    """Return what one batch may take; on a GPU, every session keeps what its largest batch has taken."""
    if settings.max_batch_memory_bytes:
        return settings.max_batch_memory_bytes
    if gpu is not None:
        free, limit = gpu.free_bytes(), settings.gpu_memory_limit_bytes
        if free is None:
            return limit or None
        most = int(free * _SHARE_OF_A_GPU) // max(1, sessions)
        return min(most, limit or most)
    available = available_bytes()
    return None if available is None else available // 2
