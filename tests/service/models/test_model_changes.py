"""Loading, unloading and exchanging models while others are served: what serves when, and what is left of it."""

import asyncio
import contextlib
import gc
import logging
import math
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from bigbird_inference.errors import (
    BundleError,
    Draining,
    InsufficientMemory,
    ModelConflict,
    ModelNotFound,
    ModelRejected,
    ServiceError,
)
from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.manifest import KnownAnswer, KnownOutput, KnownRun
from bigbird_inference.runtime.devices import Devices
from bigbird_inference.runtime.session import Batch, DeviceLost, OutOfMemory
from bigbird_inference.tasks.classification import ClassificationRequest
from service.request_run import infer
from service.serving import Serving
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.telemetry.request_record import RequestRecord
from tests.fake_model import FakeSession, FakeTask, fake_loaded_model
from tests.service.asynchronous import asynchronous
from tests.service.gate import Gate

NAME = "reports"


class Scaled(FakeSession):
    """A version of a model: its numbers are those of the fake session times a factor."""

    def __init__(self, factor: float, before_run: Callable[[Batch], None] = lambda batch: None) -> None:
        super().__init__(before_run)
        self.factor = factor

    def run(self, batch, control=None):  # type: ignore[no-untyped-def]
        return {"logits": super().run(batch, control)["logits"] * self.factor}


class Folder:
    """Stands where the folder of bundles is: what the next load finds, or fails with."""

    def __init__(self) -> None:
        self.next: Callable[[], LoadedModel] = lambda: version_of(1.0)
        self.hold: threading.Event | None = None
        self.given_up = threading.Event()
        self.reached = threading.Event()

    def load(self, name: str, given_up: threading.Event) -> LoadedModel:
        self.given_up = given_up
        self.reached.set()
        if self.hold is not None:
            assert self.hold.wait(timeout=60)
        return replace(self.next(), name=name)


def version_of(factor: float, session: FakeSession | None = None, task: str = "classify") -> LoadedModel:
    return fake_loaded_model(task, NAME, session or Scaled(factor))


def value(serving: Serving, metric: str, /, **labels: str) -> float | None:
    found: float | None = serving.metrics.registry.get_sample_value(metric, labels)
    return found


@contextlib.asynccontextmanager
async def served(*models: LoadedModel, models_folder: Path = Path("bundles")) -> AsyncIterator[tuple[Serving, Folder]]:
    folder = Folder()
    settings = Settings(warm_up_seconds=0, models=models_folder)
    serving = Serving(settings, {model.name: model for model in models}, Metrics(CollectorRegistry()), source=folder)
    del models  # they are the server's now
    await serving.start()
    await serving.warmed()
    try:
        yield serving, folder
    finally:
        await serving.stop()


async def ask(serving: Serving, text: str = "10") -> float:
    """Return what the served version makes of a text: the sum of its ids, with 1 and 2 around it, times its factor."""
    with serving.models.lease("classify", NAME) as model:
        record = RequestRecord("id", "POST", serving.scheduler.now())
        (written,) = await infer(
            serving,
            model,
            model.task,
            [ClassificationRequest(text)],
            60_000,
            record,
            lambda result: repr(result.answer.labels[0].score).encode(),
        )
    return float(written)


@asynchronous
async def test_a_reload_switches_to_the_new_version() -> None:
    async with served(version_of(1.0)) as (serving, folder):
        assert await ask(serving) == 13.0
        folder.next = lambda: version_of(2.0)
        model = await serving.changes.reload(NAME)
        assert (model.version, await ask(serving)) == (2, 26.0)
        assert value(serving, "bigbird_model_changes_total", model=NAME, change="reload", outcome="success") == 1.0


@asynchronous
async def test_a_model_that_is_loaded_is_asked_and_one_that_is_unloaded_is_not_found() -> None:
    async with served() as (serving, _):
        assert serving.ready, "no model is no reason not to be"
        await serving.changes.load(NAME)
        assert await ask(serving) == 13.0
        assert value(serving, "bigbird_model_state", model=NAME, state="ready") == 1.0
        await serving.changes.unload(NAME)
        with pytest.raises(ModelNotFound):
            await ask(serving)
        assert serving.ready
        assert value(serving, "bigbird_model_state", model=NAME, state="ready") is None
        assert value(serving, "bigbird_model_weights_bytes", model=NAME) is None
        assert value(serving, "bigbird_queue_depth", model=NAME, bucket="8") is None
        await serving.changes.load(NAME)
        assert serving.models[NAME].version == 2, "what is left of the first is told from the second"


@asynchronous
async def test_a_request_is_encoded_run_and_decoded_by_one_version() -> None:
    """It has chosen the old version, and is still encoding with it when the new one takes its place."""
    encoding, go_on = threading.Event(), threading.Event()

    class SlowTask(FakeTask):
        def encode(self, request):  # type: ignore[no-untyped-def]
            encoding.set()
            assert go_on.wait(timeout=60)
            return super().encode(request)

    old = version_of(1.0)
    async with served(replace(old, task=SlowTask(old.manifest))) as (serving, folder):
        folder.next = lambda: version_of(2.0)
        asking = asyncio.create_task(ask(serving))
        await asyncio.to_thread(encoding.wait)
        await serving.changes.reload(NAME)
        assert await ask(serving) == 26.0, "whoever comes now is answered by the new one"
        go_on.set()
        assert await asking == 13.0


@asynchronous
async def test_what_an_old_version_runs_is_finished_by_it() -> None:
    gate = Gate()
    async with served(version_of(1.0, gate.session)) as (serving, folder):
        folder.next = lambda: version_of(2.0)
        asking = asyncio.create_task(ask(serving))
        await asyncio.to_thread(gate.reached.wait)
        reloading = asyncio.create_task(serving.changes.reload(NAME))
        unloaded = None
        gate.opened.set()
        await reloading
        assert await asking == 13.0
        unloaded = await serving.changes.unload(NAME)
        assert unloaded.version == 2


@asynchronous
async def test_an_unload_waits_for_what_was_accepted_and_refuses_the_rest() -> None:
    gate = Gate()
    async with served(version_of(1.0, gate.session)) as (serving, _):
        asking = asyncio.create_task(ask(serving))
        await asyncio.to_thread(gate.reached.wait)
        unloading = asyncio.create_task(serving.changes.unload(NAME))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(ModelNotFound):
            await ask(serving)
        assert [state.state for state in serving.model_states()] == ["unloading"]
        assert not unloading.done()
        gate.opened.set()
        await unloading
        assert await asking == 13.0


def broken(error: Exception) -> Callable[[], LoadedModel]:
    def load() -> LoadedModel:
        raise error

    return load


def unloadable(cause: Exception) -> Callable[[], LoadedModel]:
    """What opening a graph raises."""

    def load() -> LoadedModel:
        raise BundleError("/srv/models/reports/graph-full.onnx: onnxruntime cannot load it") from cause

    return load


def failing_in_warm_up(error: Exception) -> Callable[[], LoadedModel]:
    def fail(batch: Batch) -> None:
        raise error

    return lambda: version_of(2.0, Scaled(2.0, fail))


def with_another_answer() -> LoadedModel:
    """A model that does not answer what its manifest says."""
    model = version_of(2.0)
    known = KnownAnswer("a", [5], [KnownRun(3, 8, [KnownOutput("logits", [1.0, 0.0], 0.5, 0.5)], 1e-4)])
    return replace(model, manifest=replace(model.manifest, known_answer=known))


def asked_in_vain() -> LoadedModel:
    """A model that fails when it is asked for its known answer."""

    def fail(batch: Batch) -> None:
        raise RuntimeError("no kernel")

    return replace(with_another_answer(), sessions={"full": [Scaled(2.0, fail)]})


@pytest.mark.parametrize(
    ("load", "problem", "words"),
    [
        (broken(BundleError("/srv/models/reports/w.bin: missing")), ModelRejected, "reports/w.bin: missing"),
        (broken(BundleError("/opt/other/graph.onnx: cannot\nTraceback")), ModelRejected, "graph.onnx: cannot"),
        (broken(OutOfMemory("the weights take 5 bytes")), InsufficientMemory, "no room"),
        (broken(MemoryError()), InsufficientMemory, "no room"),
        (unloadable(RuntimeError("std::bad_alloc")), InsufficientMemory, "no room"),
        (broken(RuntimeError("the secret cause")), ServiceError, "the server's log"),
        (failing_in_warm_up(OutOfMemory()), InsufficientMemory, "no room"),
        (failing_in_warm_up(RuntimeError("no\nkernel")), ModelRejected, "cannot run 1 x 16 tokens: no kernel"),
        (lambda: version_of(math.nan), ModelRejected, "the output logits holds NaN or infinity"),
        (asked_in_vain, ModelRejected, "the known answer cannot be computed: no kernel"),
        (with_another_answer, ModelRejected, "known answer"),
        (lambda: version_of(2.0, task="ner"), ModelRejected, "unload it first"),
    ],
    ids=[
        "a file is missing",
        "a message of several lines with a path elsewhere",
        "no memory for the weights",
        "no memory for Python",
        "no memory for a graph",
        "something unexpected while opening",
        "no memory for one run",
        "a run fails",
        "no numbers come out",
        "the run of the known answer fails",
        "the known answer is another",
        "the bundle is for another task",
    ],
)
@asynchronous
async def test_whatever_fails_leaves_the_old_version_serving(
    load: Callable[[], LoadedModel], problem: type[ServiceError], words: str
) -> None:
    async with served(version_of(1.0), models_folder=Path("/srv/models")) as (serving, folder):
        folder.next = load
        with pytest.raises(problem) as failed:
            await serving.changes.reload(NAME)
        detail = failed.value.detail
        assert words in detail
        assert "/srv" not in detail and "/opt" not in detail and "\n" not in detail and "secret" not in detail
        assert await ask(serving) == 13.0
        (state,) = serving.model_states()
        assert (state.state, state.version, state.change, state.failure) == ("ready", 1, None, detail)
        assert value(serving, "bigbird_model_changes_total", model=NAME, change="reload", outcome="failure") == 1.0
        assert value(serving, "bigbird_model_change_failed", model=NAME) == 1.0
        assert {key.version for key in serving.cost_model.measurements} == {1}
        folder.next = lambda: version_of(3.0)
        await serving.changes.reload(NAME)
        assert await ask(serving) == 39.0
        assert serving.model_states()[0].failure is None
        assert value(serving, "bigbird_model_change_failed", model=NAME) == 0.0


@asynchronous
async def test_a_model_that_could_not_be_loaded_shows_as_failed_with_the_reason() -> None:
    async with served() as (serving, folder):
        folder.next = broken(BundleError("weights.bin: missing"))
        with pytest.raises(ModelRejected):
            await serving.changes.load(NAME)
        (state,) = serving.model_states()
        assert (state.name, state.state, state.version, state.failure) == (NAME, "failed", 0, "weights.bin: missing")
        assert value(serving, "bigbird_model_state", model=NAME, state="failed") == 1.0
        assert value(serving, "bigbird_model_change_failed", model=NAME) == 1.0


@asynchronous
async def test_one_model_is_changed_once_at_a_time() -> None:
    async with served(version_of(1.0)) as (serving, folder):
        folder.hold = threading.Event()
        reloading = asyncio.create_task(serving.changes.reload(NAME))
        await asyncio.to_thread(folder.reached.wait)
        for change in (serving.changes.reload, serving.changes.unload, serving.changes.load):
            with pytest.raises(ModelConflict):
                await change(NAME)
        assert serving.model_states()[0].change == "reload"
        assert await ask(serving) == 13.0, "the event loop is free while a bundle is opened"
        folder.hold.set()
        await reloading


@asynchronous
async def test_of_two_changes_that_are_asked_for_in_the_same_moment_one_is_refused() -> None:
    async with served(version_of(1.0)) as (serving, folder):
        folder.next = lambda: version_of(2.0)
        asked = [serving.changes.reload(NAME) for _ in range(2)]
        first, second = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(first, LoadedModel)
        assert isinstance(second, ModelConflict)
        assert serving.models.change_of(NAME) is None


@asynchronous
async def test_who_asks_for_what_is_there_already_or_not_there_is_told_so() -> None:
    async with served(version_of(1.0)) as (serving, _):
        with pytest.raises(ModelConflict, match="reload"):
            await serving.changes.load(NAME)
        for change in (serving.changes.reload, serving.changes.unload):
            with pytest.raises(ModelNotFound):
                await change("other")


@asynchronous
async def test_a_client_that_leaves_does_not_end_the_change_that_it_asked_for() -> None:
    async with served(version_of(1.0)) as (serving, folder):
        folder.next, folder.hold = lambda: version_of(2.0), threading.Event()
        asking = asyncio.create_task(serving.changes.reload(NAME))
        await asyncio.to_thread(folder.reached.wait)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        folder.hold.set()
        while serving.models.change_of(NAME):
            await asyncio.sleep(0.001)
        assert await ask(serving) == 26.0


@asynchronous
async def test_a_drain_gives_up_a_load_and_finishes_what_the_old_version_has() -> None:
    gate = Gate()
    async with served(version_of(1.0, gate.session)) as (serving, folder):
        folder.hold = threading.Event()
        asking = asyncio.create_task(ask(serving))
        await asyncio.to_thread(gate.reached.wait)
        reloading = asyncio.create_task(serving.changes.reload(NAME))
        await asyncio.to_thread(folder.reached.wait)
        serving.shutdown.drain()
        with pytest.raises(Draining):
            await reloading
        assert folder.given_up.is_set(), "a trial under way is ended"
        with pytest.raises(Draining):
            await serving.changes.reload(NAME)
        folder.hold.set()
        gate.opened.set()
        assert await asking == 13.0


@asynchronous
async def test_old_versions_are_released_without_the_help_of_the_garbage_collector() -> None:
    """Over twenty reloads, and without a request that would drive an old version's last run out of the executor."""
    gc.collect()
    gc.disable()
    try:
        first = Scaled(1.0)
        old = [weakref.ref(first)]
        async with served(version_of(1.0, first)) as (serving, folder):
            del first
            await ask(serving)
            for number in range(2, 22):
                session = Scaled(float(number))
                old.append(weakref.ref(session))
                folder.next = opening(session)
                del session
                await serving.changes.reload(NAME)
                folder.next = lambda: version_of(0.0)
                while serving.changes.retiring:
                    await asyncio.sleep(0.001)
                assert await ask(serving) == 13.0 * number
                assert [index for index, reference in enumerate(old) if reference() is not None] == [number - 1]
            await serving.changes.unload(NAME)
            async with asyncio.timeout(60):
                while any(reference() is not None for reference in old):
                    await asyncio.sleep(0.001)
            assert serving.cost_model.measurements == {}
    finally:
        gc.enable()


def opening(session: Scaled) -> Callable[[], LoadedModel]:
    return lambda: version_of(0.0, session)


def with_another_answer_on_the_second_device() -> LoadedModel:
    """The known answer is right: CLS 1, the token 5, SEP 2."""
    model = with_another_answer()
    known = KnownAnswer("a", [5], [KnownRun(3, 8, [KnownOutput("logits", [8.0, 0.0], 4.0, 4.0)], 1e-4)])
    return replace(
        model,
        manifest=replace(model.manifest, known_answer=known),
        sessions={"full": [Scaled(1.0), Scaled(1.001)]},
        devices=Devices(("first", "second"), None, ("", "")),
    )


@pytest.mark.parametrize("load", [with_another_answer, with_another_answer_on_the_second_device])
@asynchronous
async def test_a_model_with_another_answer_than_the_known_one_stops_the_start(load: Callable[[], LoadedModel]) -> None:
    failed: list[bool] = []
    model = load()
    serving = Serving(
        Settings(warm_up_seconds=0), {NAME: model}, Metrics(CollectorRegistry()), lambda: failed.append(True)
    )
    await serving.start()
    await serving.warmed()
    assert failed == [True]
    assert not serving.ready
    await serving.stop()


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        (lambda: version_of(math.nan), "cannot run 1 x 16 tokens: the output logits holds NaN or infinity"),
        (failing_in_warm_up(RuntimeError("no\nkernel")), "cannot run 1 x 16 tokens: no kernel"),
        (failing_in_warm_up(OutOfMemory("no room")), "cannot run 1 x 16 tokens: no room"),
        (with_another_answer, "is not served: the known answer of the model from 'checkpoint'"),
        (asked_in_vain, "is not served: the known answer cannot be computed: no kernel"),
    ],
    ids=["no numbers", "a run fails", "no memory", "another known answer", "no known answer"],
)
@asynchronous
async def test_a_model_that_cannot_be_warmed_is_one_line_with_its_name(
    load: Callable[[], LoadedModel], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(load()):
        (line,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert line.getMessage().startswith(f"model {NAME} {reason}")
    assert line.getMessage().endswith("; export the bundle again, or take it out of the folder")
    assert "\n" not in line.getMessage() and line.exc_info is None


@asynchronous
async def test_a_device_that_fails_while_models_are_warmed_is_told_without_a_second_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with served(failing_in_warm_up(DeviceLost("lost"))()):
        last = caplog.records[-1]
    assert last.getMessage().startswith("the models could not be warmed: ") and last.exc_info is None
