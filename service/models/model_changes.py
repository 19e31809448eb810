"""Loading, unloading and exchanging models while others are served.

    trial (a process) ─> open beside the old (a thread) ─> known answer, warm-up (each device, in turns with traffic)
    ─> switch: one step on the event loop ─> the old version finishes what it has accepted ─> it is released

Until the switch nothing is different for anybody, so that whatever goes wrong before it leaves the old version serving;
after it nothing can go wrong. A change belongs to the server and not to the request that asked for it: a client that
leaves does not end it. What does not serve yet when the server begins to shut down is given up.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

from bigbird_inference.errors import (
    BundleError,
    InsufficientMemory,
    ModelConflict,
    ModelNotFound,
    ModelRejected,
    ServiceError,
)
from bigbird_inference.known_answer import check_known_answer, climb
from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.runtime.session import OutOfMemory, bundle_blamed, meaning_of
from service.batching.scheduler import Scheduler
from service.batching.unavailable import shutting_down
from service.models.model_folder import without_paths
from service.models.served_models import ENDPOINTS, ChangeKind, ServedModels
from service.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)


class ModelSource(Protocol):
    """Where models come from; `service.models.loading.ModelLoader` is the real one."""

    def load(self, name: str, given_up: threading.Event) -> LoadedModel:
        """Open and check the bundle of a name; called on a thread of its own, and given up when the event is set."""
        ...


class ModelChanges:
    """Changes what is served.

    Args:
        models: What is served.
        scheduler: Runs it.
        source: Opens bundles.
        metrics: Hears of every change.
        folder: The folder of bundles, of which answers tell nothing.
        ensure_running: Raises if the server is not warm yet, or shuts down.
    """

    def __init__(
        self,
        models: ServedModels,
        scheduler: Scheduler,
        source: ModelSource,
        metrics: Metrics,
        folder: Path,
        ensure_running: Callable[[], None],
    ) -> None:
        self._models = models
        self._scheduler = scheduler
        self._source = source
        self._metrics = metrics
        self._folder = folder
        self._ensure_running = ensure_running
        # Two at once would take the memory of both, and each would measure the other.
        self._loading = asyncio.Lock()
        self._tasks: set[asyncio.Task[LoadedModel]] = set()
        self._revocable: set[asyncio.Task[LoadedModel]] = set()
        self._retiring: dict[str, asyncio.Task[None]] = {}

    @property
    def retiring(self) -> frozenset[str]:
        """Models whose version before this one still finishes what it had accepted."""
        return frozenset(self._retiring)

    async def load(self, name: str) -> LoadedModel:
        """Serve a bundle of the folder that is not served yet.

        Raises:
            ModelConflict: It is served, or is being changed.
            ModelNotFound, ModelRejected, InsufficientMemory, NotReady: Nothing has changed.
        """
        if name in self._models:
            raise ModelConflict(f"The model {name!r} is loaded already; reload exchanges it.")
        return await self._change(name, "load", self._bring_in)

    async def reload(self, name: str) -> LoadedModel:
        """Serve what is now in a model's folder instead of what was loaded from it.

        Raises:
            ModelConflict: The model is being changed.
            ModelNotFound, ModelRejected, InsufficientMemory, NotReady: The old version goes on serving.
        """
        self._require_served(name)
        return await self._change(name, "reload", self._bring_in)

    async def unload(self, name: str) -> LoadedModel:
        """Refuse new requests for a model, finish what it has accepted, release it.

        Raises:
            ModelConflict: The model is being changed.
            ModelNotFound: It is not served.
        """
        self._require_served(name)
        return await self._change(name, "unload", self._take_out)

    def revoke(self) -> None:
        """Give up what does not serve yet: the server begins to shut down."""
        for task in self._revocable:
            task.cancel()

    async def stop(self) -> None:
        """Wait for no change any more."""
        tasks = [*self._tasks, *self._retiring.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _require_served(self, name: str) -> None:
        if name not in self._models and self._models.change_of(name) is None:
            raise ModelNotFound(f"There is no model {name!r}; see /v1/models.")

    async def _change(self, name: str, kind: ChangeKind, steps: Callable[[str], Awaitable[LoadedModel]]) -> LoadedModel:
        """Make a change in a task of its own, and wait for it."""
        self._ensure_running()
        under_way = self._models.change_of(name)
        if under_way is not None:
            raise ModelConflict(f"The model {name!r} is being changed: {under_way} is under way.")
        # Here and not in the task: a second request may come before its first step.
        announced = contextlib.ExitStack()
        announced.enter_context(self._models.changing(name, kind))
        task = asyncio.create_task(self._change_now(name, kind, steps), name=f"{kind} {name}")
        task.add_done_callback(lambda _: announced.close())
        self._tasks.add(task)
        if kind != "unload":
            self._revocable.add(task)
        task.add_done_callback(self._ended)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():  # revoked before its first step
                raise shutting_down() from None
            raise

    def _ended(self, task: asyncio.Task[LoadedModel]) -> None:
        self._tasks.discard(task)
        self._revocable.discard(task)
        if not task.cancelled():
            task.exception()  # it has been logged; whoever asked may have left

    async def _change_now(
        self, name: str, kind: ChangeKind, steps: Callable[[str], Awaitable[LoadedModel]]
    ) -> LoadedModel:
        try:
            model = await steps(name)
        except ModelNotFound:
            raise  # nothing was tried
        except asyncio.CancelledError:
            logger.info("%s of model %s was given up: the server shuts down", kind, name)
            self._metrics.model_changed(name, kind, "failure")
            raise shutting_down() from None
        except Exception as error:
            # Not kept in a variable: with its traceback it would keep the sessions that were opened.
            raise self._failed(name, kind, error) from None
        logger.info("%s of model %s succeeded: version %d", kind, name, model.version)
        self._metrics.model_changed(name, kind, "success")
        return model

    def _failed(self, name: str, kind: ChangeKind, error: Exception) -> ServiceError:
        """Take note of a failure, and return it as an answer."""
        problem = self._problem(name, error)
        unexpected = error if problem.status == 500 else None
        logger.error("%s of model %s failed: %s", kind, name, problem.detail, exc_info=unexpected)
        self._models.note_failure(name, problem.detail)
        self._metrics.model_changed(name, kind, "failure")
        return problem

    def _problem(self, name: str, error: Exception) -> ServiceError:
        if isinstance(error, ServiceError):
            return error
        cause = error.__cause__ if isinstance(error, BundleError) else error
        if isinstance(cause, Exception) and isinstance(meaning_of(cause) or cause, OutOfMemory):
            return InsufficientMemory(f"There is no room for the model {name!r} beside what is served.")
        if isinstance(error, BundleError):
            return ModelRejected(without_paths(str(error), self._folder))
        return ServiceError(f"The model {name!r} could not be loaded; the server's log has the cause.")

    async def _bring_in(self, name: str) -> LoadedModel:
        """Load a version, and let it take the place of the one that is served, if any."""
        async with self._loading:
            with contextlib.suppress(KeyError):
                await asyncio.shield(self._retiring[name])  # three versions at once are never held
            model = await self._loaded(name)
            model = replace(model, version=self._models.next_version(name))
            self._ensure_same_task(model)
            await self._scheduler.buckets.note_memory()
            await self.check_answers(model)
            await self._scheduler.buckets.prepare(model.buckets())
            self._ensure_running()
            self._switch(model)
        return model

    async def _loaded(self, name: str) -> LoadedModel:
        given_up = threading.Event()
        try:
            return await asyncio.to_thread(self._source.load, name, given_up)
        finally:
            given_up.set()

    def _ensure_same_task(self, model: LoadedModel) -> None:
        """Refuse another task under a name that is served: its clients ask one endpoint."""
        served = self._models.get(model.name)
        if served is not None and served.manifest.task != model.manifest.task:
            raise ModelRejected(
                f"The bundle {model.name!r} is for {ENDPOINTS[model.manifest.task]} now, and the model of that name "
                f"serves {ENDPOINTS[served.manifest.task]}; unload it first if that is meant."
            )

    async def check_answers(self, model: LoadedModel) -> None:
        """Ask every device for the known answer of the model.

        Raises:
            BundleError: A device answers something else, or cannot answer.
        """
        for device in range(len(model.devices.names)):
            sessions = {attention: own[device] for attention, own in model.sessions.items()}
            check = partial(check_known_answer, model.manifest, sessions)
            if model.ladders:
                check = partial(climb, model.ladders[device])
            with bundle_blamed("the known answer cannot be computed"):
                await self._scheduler.buckets.call(device, check)

    async def give_up(self, model: LoadedModel, error: BundleError) -> None:
        """Serve a model no longer that does not give its known answer, and remember why."""
        logger.error("model %s is not served: %s", model.name, error)
        await self._take_out(model.name)
        self._models.note_failure(model.name, without_paths(str(error), self._folder))

    def _switch(self, model: LoadedModel) -> None:
        """Serve a version from now on, and release the one before it once it is not used any more."""
        self._scheduler.buckets.add(model.buckets())
        old = self._models.put(model)
        self.declare(model)
        if old is not None:
            task = asyncio.create_task(self._retire(old), name=f"retire {model.name}")
            self._retiring[model.name] = task
            task.add_done_callback(lambda _: self._retiring.pop(model.name))

    def declare(self, model: LoadedModel) -> None:
        """Show a model that is served from now on in the metrics."""
        endpoint = ENDPOINTS[model.manifest.task]
        self._metrics.declare_model(model.name, model.manifest, endpoint, model.weights_bytes, model.revision)
        for bucket in model.manifest.buckets:
            self._watch_queue(model.name, bucket.length)

    def _watch_queue(self, model: str, bucket: int) -> None:
        self._metrics.watch_queue(
            model,
            bucket,
            lambda: self._scheduler.waiting_items(model, bucket),
            lambda: self._scheduler.oldest_age(model, bucket),
        )

    async def _take_out(self, name: str) -> LoadedModel:
        model = self._models.take(name)
        await self._retire(model)
        self._metrics.forget_model(name)
        return model

    async def _retire(self, model: LoadedModel) -> None:
        """Wait until a version that nobody can choose any more is not used, and let the scheduler forget it."""
        await self._models.unused(model.model_version)
        await self._scheduler.buckets.remove(model.buckets())
        logger.info("released version %d of model %s", model.version, model.name)
