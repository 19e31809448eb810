"""A model on a GPU of which some part does not work: served all the same, with the right answers, and told."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from bigbird_inference.bundle import read_manifest, write_manifest
from bigbird_inference.errors import BundleError
from bigbird_inference.runtime.cuda.features import RUNGS, RungName, RungOutcome
from bigbird_inference.runtime.devices import Devices
from service.app import create_app
from service.batching.bucket_queue import WorkItem
from service.models.loading import ModelLoader
from service.serving import Serving
from service.settings import InvalidSettings, Settings, load_settings
from service.telemetry.metrics import Metrics
from tests.bigbird_inference.runtime.cuda.stand_in import StandIn, Way, gpu
from tests.fake_model import sequence
from tests.hostile_bundles import sums, write_bundle
from tests.service.asynchronous import asynchronous
from tests.service.test_serving import FakeGpu

__all__ = ["gpu"]

GPU = Devices(("cuda:0",), None, ("a stand-in",))
# What runs on each rung, and on nothing below it.
OWN: dict[RungName, tuple[Way, ...]] = {
    "fused_attention": ("fused", "bound", "recorded", "replayed"),
    "iobinding": ("bound", "recorded", "replayed"),
    "cuda_graphs": ("recorded", "replayed"),
}
BELOW: dict[RungName, Way] = {"fused_attention": "composed", "iobinding": "fused", "cuda_graphs": "bound"}


def write_gpu_bundle(folder: Path, vocabulary: Path | None = None) -> None:
    """Write a bundle with and without the fused kernel; both graphs give the sum of the ids."""
    write_bundle(folder, sums(), vocabulary)
    manifest = read_manifest(folder)
    (composed,) = manifest.graphs
    (folder / "graph-full-fused.onnx").write_bytes((folder / composed.file).read_bytes())
    fused = replace(composed, file="graph-full-fused.onnx", attention_kernel="fused")
    buckets = [
        replace(bucket, parity=[*bucket.parity, replace(bucket.parity[0], attention_kernel="fused")])
        for bucket in manifest.buckets
    ]
    write_manifest(replace(manifest, graphs=[composed, fused], buckets=buckets), folder)


@pytest.fixture
def models(tmp_path: Path, control_vocabulary: Path, gpu: StandIn, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one bundle, and a GPU to serve it on; nothing is tried in another process."""
    write_gpu_bundle(tmp_path / "sums", control_vocabulary)
    monkeypatch.setattr("service.serving.gpu_memory", lambda name: FakeGpu())
    monkeypatch.setattr("service.models.loading.gpu_memory", lambda name: FakeGpu())
    monkeypatch.setattr("service.models.loading.try_rungs", lambda *arguments, **options: [])
    return tmp_path


@asynccontextmanager
async def served(models: Path, **settings: Any) -> AsyncIterator[Serving]:
    chosen = Settings(models=models, warm_up_seconds=0, max_batch_items=1, **settings)
    serving = Serving(chosen, ModelLoader(chosen, GPU).load_all(), Metrics(CollectorRegistry()))
    await serving.start()
    await serving.warmed()
    try:
        yield serving
    finally:
        await serving.stop()


async def answer(serving: Serving, tokens: list[int]) -> float:
    result = await serving.scheduler.submit(WorkItem("sums", sequence(tokens)))
    return float(result.outputs["logits"][0])


def states(serving: Serving) -> dict[str, str]:
    """The state of each feature, as the metrics tell it."""
    (family,) = (each for each in serving.metrics.registry.collect() if each.name == "bigbird_gpu_feature")
    labels = [sample.labels for sample in family.samples if sample.value]
    assert {(each["model"], each["device"]) for each in labels} == {("sums", "cuda:0")}
    return {each["feature"]: each["state"] for each in labels}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    # But for that of the memory in the metrics: there is no NVML here.
    own = [record for record in caplog.records if record.name != "service.telemetry.gpu_metrics"]
    return [record.getMessage() for record in own if record.levelno >= logging.WARNING]


@pytest.mark.usefixtures("models")
@asynchronous
async def test_what_works_is_on(models: Path, gpu: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    async with served(models) as serving:
        assert serving.ready
        assert states(serving) == dict.fromkeys(RUNGS, "on")
        gpu.ways()
        assert await answer(serving, [5] * 16) == 80.0
        assert gpu.ways() == ["replayed"]
        await serving.check_rungs()
        assert states(serving) == dict.fromkeys(RUNGS, "on")
    assert warnings(caplog) == []


def _raising(text: str, name: str = "Fail") -> Callable[[StandIn, tuple[Way, ...]], None]:
    def refuse(gpu: StandIn, ways: tuple[Way, ...]) -> None:
        from onnxruntime.capi import onnxruntime_pybind11_state as classes

        def before_run(way: Way, shape: tuple[int, int]) -> None:
            if way in ways:
                raise getattr(classes, name)(text)

        gpu.before_run = before_run

    return refuse


def _off(by: float) -> Callable[[StandIn, tuple[Way, ...]], None]:
    return lambda gpu, ways: gpu.off.update(dict.fromkeys(ways, by))


FAILURES = [
    pytest.param(_raising("Failed to allocate memory for requested buffer of size 4096"), "failed", id="no memory"),
    pytest.param(_raising("Could not find an implementation", "NotImplemented"), "failed", id="operator missing"),
    pytest.param(_raising("CUDA failure 900: operation not permitted"), "failed", id="not recorded"),
    pytest.param(_raising("the execution provider failed", "EPFail"), "failed", id="onnxruntime's own class"),
    pytest.param(_off(0.1), "wrong", id="wrong by 0.1"),
    pytest.param(_off(float("nan")), "wrong", id="NaN"),
]


@pytest.mark.parametrize("moment", ["at the start", "while it serves"])
@pytest.mark.parametrize(("fault", "state"), FAILURES)
@pytest.mark.parametrize("rung", RUNGS)
@asynchronous
async def test_a_rung_that_fails_leaves_a_served_model_one_line_and_a_metric(
    models: Path,
    gpu: StandIn,
    caplog: pytest.LogCaptureFixture,
    rung: RungName,
    fault: Callable[[StandIn, tuple[Way, ...]], None],
    state: str,
    moment: str,
) -> None:
    # Alone, so that what stands on it does not fail with it at a start, which would be a line each.
    async with contextlib.AsyncExitStack() as stack:
        pinned = {"gpu_features": rung} if moment == "at the start" else {}
        if moment == "at the start":
            fault(gpu, OWN[rung])
        serving = await stack.enter_async_context(served(models, **pinned))
        if moment == "while it serves":
            fault(gpu, OWN[rung])
            if state == "wrong":
                await serving.check_rungs()
        assert serving.ready
        assert await answer(serving, [5] * 16) == 80.0
        assert states(serving)[rung] == state
        (told,) = warnings(caplog)
        assert rung in told
        gpu.ways()
        assert await answer(serving, [7] * 16) == 112.0
        assert gpu.ways() == ["composed" if moment == "at the start" else BELOW[rung]]
        assert warnings(caplog) == [told]


@pytest.mark.parametrize("text", ["Failed to allocate memory for requested buffer", "Could not find an implementation"])
@pytest.mark.parametrize("rung", ["fused_attention", "cuda_graphs"])
@asynchronous
async def test_so_does_a_rung_whose_graphs_do_not_load(
    models: Path, gpu: StandIn, caplog: pytest.LogCaptureFixture, rung: RungName, text: str
) -> None:
    def refuse(file: str, settings: dict[str, str]) -> None:
        if "-fused" in file if rung == "fused_attention" else "enable_cuda_graph" in settings:
            raise RuntimeError(text)

    gpu.before_load = refuse
    async with served(models, gpu_features=",".join(RUNGS)) as serving:
        assert states(serving) == {name: "failed" if name == rung else "on" for name in RUNGS}
        assert await answer(serving, [5] * 16) == 80.0
    (told,) = warnings(caplog)
    assert f"{rung} is not kept (failed)" in told and text in told


@asynchronous
async def test_what_a_trial_found_is_told(
    models: Path, gpu: StandIn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    crashed = RungOutcome("cuda_graphs", "failed", "the process that tried it ended with signal 11")
    monkeypatch.setattr("service.models.loading.try_rungs", lambda *arguments, **options: [crashed])
    async with served(models) as serving:
        assert states(serving) == {"fused_attention": "on", "iobinding": "on", "cuda_graphs": "failed"}
        assert await answer(serving, [5] * 16) == 80.0
    (told,) = warnings(caplog)
    assert told == "sums on cuda:0: cuda_graphs is not kept (failed): the process that tried it ended with signal 11"


@asynchronous
async def test_a_first_rung_that_answers_otherwise_later_ends_the_device(models: Path, gpu: StandIn) -> None:
    async with served(models) as serving:
        gpu.off["composed"] = 0.1
        await serving.check_rungs()
        assert serving.fault is not None, "a restart tells whether the GPU is broken"


@asynchronous
async def test_rungs_are_asked_again_and_again_although_one_time_there_was_no_room(
    models: Path, gpu: StandIn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.serving._ANSWER_WATCH_SECONDS", 0.01)
    async with served(models) as serving, asyncio.timeout(60):
        _raising("CUDA failure 2: out of memory", "Fail")(gpu, ("composed", *OWN["fused_attention"]))
        while not any("sums could not be asked again on cuda:0" in message for message in caplog.messages):
            await asyncio.sleep(0.01)
        assert states(serving) == dict.fromkeys(RUNGS, "on")
        gpu.before_run = lambda way, shape: None
        gpu.off["replayed"] = 0.1
        while states(serving)["cuda_graphs"] != "wrong":
            await asyncio.sleep(0.01)
        assert await answer(serving, [5] * 16) == 80.0


def test_a_gpu_without_room_is_told_with_what_uses_it(models: Path, gpu: StandIn) -> None:
    def no_room(file: str, settings: dict[str, str]) -> None:
        raise RuntimeError("CUDA failure 2: out of memory ; GPU=0")

    gpu.before_load = no_room
    settings = Settings(models=models, gpu_features="none")
    with pytest.raises(BundleError, match=r"out of memory.*0\.0 of 0\.0 GiB of cuda:0 are free; `nvidia-smi` shows"):
        ModelLoader(settings, GPU).load_all()


@asynchronous
async def test_the_list_of_models_tells_what_became_of_each_feature(
    models: Path, gpu: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.models.loading.choose_devices", lambda settings: GPU)
    gpu.off["fused"] = 0.1
    app = create_app(Settings(models=models, warm_up_seconds=0, gpu_features="fused_attention,iobinding"))
    async with app.router.lifespan_context(app):
        await app.state.serving.warmed()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            (model,) = (await client.get("/v1/models")).json()["models"]
    fused, _, graphs = model["gpu_features"]
    assert (fused["device"], fused["feature"], fused["state"]) == ("cuda:0", "fused_attention", "wrong")
    assert fused["reason"] == "in bucket 16 it differs by 0.1, and 0.0001 is allowed"
    assert fused["difference"] == pytest.approx(0.1, abs=1e-5)
    assert (graphs["state"], graphs["reason"]) == ("not_asked", "gpu_features is fused_attention,iobinding")


@asynchronous
async def test_no_path_of_this_machine_is_told_to_clients(models: Path, gpu: StandIn) -> None:
    def refuse(file: str, settings: dict[str, str]) -> None:
        if "-fused" in file:
            raise RuntimeError(f"{models}/graph: no such operator")

    gpu.before_load = refuse
    async with served(models, gpu_features=",".join(RUNGS)) as serving:
        reasons = {outcome.rung: outcome.reason for _, _, outcome in serving.gpu_features()}
    assert "no such operator" in reasons["fused_attention"] and str(models) not in reasons["fused_attention"]


def test_the_setting_that_was_replaced_is_refused_with_the_new_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGBIRD_CUDA_GRAPHS", "false")
    with pytest.raises(InvalidSettings, match="BIGBIRD_CUDA_GRAPHS is not a setting any more: BIGBIRD_GPU_FEATURES="):
        load_settings()


def test_a_feature_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGBIRD_GPU_FEATURES", "graphs")
    with pytest.raises(InvalidSettings, match="BIGBIRD_GPU_FEATURES: there is no 'graphs'; write auto, none"):
        load_settings()
