"""The running service on several devices, and in a degraded state."""

import threading
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.manifest import KnownAnswer, KnownOutput, KnownRun
from bigbird_inference.runtime.devices import Devices
from bigbird_inference.runtime.session import Batch
from service.batching.bucket_queue import WorkItem
from service.serving import Serving
from service.settings import Settings
from service.telemetry.metrics import Metrics
from tests.fake_model import FakeSession, fake_bucket, fake_loaded_model, sequence
from tests.service.asynchronous import asynchronous
from tests.service.manual_executor import ManualExecutor, settle

SETTINGS = Settings(warm_up_seconds=0, max_batch_items=1)


def model_on(devices: Devices, sessions: list[FakeSession]) -> LoadedModel:
    model = fake_loaded_model("classify")
    return replace(model, sessions={"full": sessions}, devices=devices, weights_bytes=5)


def serving_on(devices: Devices, sessions: list[FakeSession], **options: object) -> Serving:
    model = model_on(devices, sessions)
    return Serving(SETTINGS, {model.name: model}, Metrics(CollectorRegistry()), **options)  # type: ignore[arg-type]


def value(serving: Serving, metric: str, /, **labels: str) -> float | None:
    found: float | None = serving.metrics.registry.get_sample_value(metric, labels)
    return found


@asynchronous
async def test_two_devices_really_compute_at_the_same_time() -> None:
    """Two CPU threads stand in for GPUs: each run ends only when the other has begun."""
    together = threading.Barrier(2)

    def meet(batch: Batch) -> None:
        if batch.input_ids.any():  # the warm-up's batches are padding
            together.wait(timeout=60)

    serving = serving_on(Devices(("first", "second"), None, ("", "")), [FakeSession(meet), FakeSession(meet)])
    await serving.start()
    await serving.warmed()
    futures = [serving.scheduler.submit(WorkItem("fake-classify", sequence([token]))) for token in (1, 2)]
    assert [(await future).outputs["logits"][0] for future in futures] == [1.0, 2.0]
    await serving.stop()


class FakeGpu:
    """A GPU with 100 bytes."""

    free = 100

    def free_bytes(self) -> int:
        return self.free

    def anonymous_bytes(self) -> int:
        return 100 - self.free

    peak_bytes = anonymous_bytes


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    """A GPU with room for batches of 85 bytes, if one session runs on it."""
    fake = FakeGpu()
    monkeypatch.setattr("service.serving.gpu_memory", lambda name: fake)
    return fake


@asynchronous
async def test_the_state_of_every_device_can_be_read(gpu: FakeGpu) -> None:
    executors = [ManualExecutor(), ManualExecutor()]
    serving = serving_on(
        Devices(("cuda:0", "cuda:1"), None, ("A", "B")), [FakeSession(), FakeSession()], executors=executors
    )
    await serving.start()
    for _ in range(20):
        for executor in executors:
            if executor.work:
                await executor.run_next()
        await settle()
    assert serving.ready
    assert value(serving, "bigbird_device_info", device="cuda:1", name="B") == 1.0
    assert value(serving, "bigbird_degraded") == 0.0
    executors[1].die()
    await settle()
    assert [value(serving, "bigbird_executor_alive", device=name) for name in ("cuda:0", "cuda:1")] == [1.0, 0.0]
    assert serving.fault is not None, "only a restart brings it back"
    assert serving.ready, "until then the other one serves"
    await serving.stop()


@asynchronous
async def test_a_gpu_that_is_missing_shows_while_the_cpu_serves() -> None:
    serving = serving_on(Devices(("cpu",), "the driver is too old", ("a processor",)), [FakeSession()])
    await serving.start()
    await serving.warmed()
    assert serving.ready
    assert serving.degraded == "the driver is too old"
    assert value(serving, "bigbird_degraded") == 1.0
    await serving.stop()


@asynchronous
async def test_a_model_for_gpus_on_a_cpu_shows() -> None:
    model = model_on(Devices(("cpu",), None, ("a processor",)), [FakeSession()])
    model = replace(model, manifest=replace(model.manifest, precision="fp16"))
    serving = Serving(SETTINGS, {model.name: model}, Metrics(CollectorRegistry()))
    assert serving.degraded == (
        "model fake-classify is in fp16, which is for GPUs, and this is a CPU; serve it on a GPU, or export it with "
        "--precision fp32 or int8"
    )
    assert replace(model, devices=Devices(("cuda:0",), None, ("A",))).misplaced is None


@asynchronous
async def test_what_the_known_answer_takes_counts_for_the_bound_of_a_batch(
    gpu: FakeGpu, caplog: pytest.LogCaptureFixture
) -> None:
    """As below, with an answer that is asked before anything is measured, and takes what a sequence takes."""

    def take(batch: Batch) -> None:
        gpu.free = min(gpu.free, 100 - 20 * len(batch.input_ids))

    caplog.set_level("INFO")
    model = model_on(Devices(("cuda:0",), None, ("A",)), [FakeSession(take)])
    # CLS 1, the token 5, SEP 2.
    run = KnownRun(3, 16, [KnownOutput("logits", [8.0, 0.0], 4.0, 4.0)], 1e-4)
    known = KnownAnswer("a", [5], [run])
    model = replace(model, manifest=replace(model.manifest, buckets=[fake_bucket(16)], known_answer=known))
    settings = Settings(warm_up_seconds=60, max_batch_items=8)
    serving = Serving(settings, {model.name: model}, Metrics(CollectorRegistry()))
    await serving.start()
    await serving.warmed()
    assert serving.ready
    (warmed,) = [record.getMessage() for record in caplog.records if "at most" in record.getMessage()]
    assert warmed.endswith("at most 4 in a batch")
    await serving.stop()


@asynchronous
async def test_sessions_of_a_gpu_share_the_memory_that_a_batch_may_take(
    gpu: FakeGpu, caplog: pytest.LogCaptureFixture
) -> None:
    """Each sequence takes 20 bytes, and a batch of one of the two graphs may take 42."""

    def take(batch: Batch) -> None:
        gpu.free = min(gpu.free, 100 - 20 * len(batch.input_ids))

    caplog.set_level("INFO")
    model = model_on(Devices(("cuda:0",), None, ("A",)), [FakeSession(take)])
    manifest = replace(model.manifest, buckets=[fake_bucket(16), fake_bucket(32, "block_sparse")])
    sessions = {**model.sessions, "block_sparse": [FakeSession(take)]}
    model = replace(model, manifest=manifest, sessions=sessions)
    serving = Serving(Settings(warm_up_seconds=0), {model.name: model}, Metrics(CollectorRegistry()))
    await serving.start()
    await serving.warmed()
    warmed = [record.getMessage() for record in caplog.records if "at most" in record.getMessage()]
    assert [message.rpartition("; ")[2] for message in warmed] == ["at most 2 in a batch"] * 2
    await serving.stop()


@asynchronous
async def test_on_a_gpu_the_memory_of_the_gpu_bounds_a_batch(gpu: FakeGpu, caplog: pytest.LogCaptureFixture) -> None:
    """Each sequence takes 20 bytes of the GPU, and a batch may take 85."""

    def take(batch: Batch) -> None:
        gpu.free = min(gpu.free, 100 - 20 * len(batch.input_ids))

    caplog.set_level("INFO")
    # One bucket: all of them share what any of them took, and here they take no time, so that their order is open.
    model = model_on(Devices(("cuda:0",), None, ("A",)), [FakeSession(take)])
    model = replace(model, manifest=replace(model.manifest, buckets=[fake_bucket(16)]))
    settings = Settings(warm_up_seconds=60, max_batch_items=8)
    serving = Serving(settings, {model.name: model}, Metrics(CollectorRegistry()))
    await serving.start()
    await serving.warmed()
    warmed = [record.getMessage() for record in caplog.records if "at most" in record.getMessage()]
    assert len(warmed) == 1
    assert warmed[0].endswith("at most 4 in a batch")
    await serving.stop()
