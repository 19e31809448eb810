"""The arithmetic of the metrics: scripted requests, and what every counter must say after them, computed by hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from bigbird_inference.buckets import BucketKey
from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.manifest import TaskName
from service.api.request_context import RequestContext
from service.batching.observer import FinishedBatch
from service.batching.scheduler import Scheduler
from service.telemetry.metrics import Metrics
from service.telemetry.stages import STAGES
from tests.fake_model import POISON, FakeSession, FakeTask, fake_loaded_model, fake_manifest
from tests.service.api.test_disconnect import Connection
from tests.service.asynchronous import asynchronous
from tests.service.gate import Gate
from tests.service.manual_executor import FakeClock
from tests.service.running_app import running_app

NER = {"endpoint": "/ner", "model": "fake-ner"}
MODEL = {"model": "fake-ner"}
BUCKET = {"model": "fake-ner", "bucket": "8"}


def read(app: Any, name: str, **labels: str) -> float | None:
    value: float | None = app.state.serving.metrics.registry.get_sample_value(f"bigbird_{name}", labels)
    return value


def series(app: Any) -> dict[str, float]:
    """Every sample of every family, by name and labels."""
    registry = app.state.serving.metrics.registry
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in registry.collect()
        for sample in family.samples
    }


@asynccontextmanager
async def clocked_app(
    clock: FakeClock, model: LoadedModel, **settings: Any
) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    """The application on a clock of the test's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.serving.Scheduler", partial(Scheduler, clock=clock))
        patch.setattr("service.api.early_refusals.RequestContext", partial(RequestContext, clock=clock))
        async with running_app({model.name: model}, **settings) as running:
            yield running


@asynchronous
async def test_series_stand_at_zero_before_the_first_request() -> None:
    async with running_app() as (app, _):
        for status in ("200", "413", "422", "429", "499", "500", "503", "504"):
            assert read(app, "requests_total", **NER, status=status) == 0
        for name in ("request_duration_seconds_count", "admitted_requests_total"):
            assert read(app, name, **NER) == 0
        for name in ("windows_per_document_count", "truncated_tokens_total"):
            assert read(app, name, **MODEL) == 0
        for name in (
            "tokens_total",
            "computed_tokens_total",
            "predicted_seconds_total",
            "batch_failures_total",
            "terminated_runs_total",
            "batch_size_count",
            "batch_duration_seconds_count",
            "run_cost_ratio_count",
            "queue_depth",
            "queue_oldest_age_seconds",
        ):
            assert read(app, name, **BUCKET) == 0
        for stage in STAGES:
            assert read(app, "stage_duration_seconds_count", stage=stage, **BUCKET) == 0
        for reason in ("out_of_memory", "failure"):
            assert read(app, "batch_splits_total", **BUCKET, reason=reason) == 0
        for reason in ("cancelled", "expired", "unreachable"):
            assert read(app, "dropped_windows_total", **BUCKET, reason=reason) == 0
        for reason in ("queue_full", "not_ready", "draining", "deadline_unreachable"):
            assert read(app, "refused_requests_total", reason=reason) == 0
        for name in ("queued_tokens", "requests_in_flight", "degraded"):
            assert read(app, name) == 0
        assert read(app, "executor_busy_seconds_total", device="cpu") == 0
        assert read(app, "executor_stuck", device="cpu") == 0
        assert read(app, "executor_alive", device="cpu") == 1
        assert read(app, "ready") == 1


@asynchronous
async def test_requests_of_loaded_models_create_no_series_that_was_not_there() -> None:
    async with running_app() as (app, client):
        before = set(series(app))
        await client.post("/ner", json={"text": ["10", "20 " * 20]})
        await client.post("/ner", json={"text": f"{POISON}"})
        await client.post("/ner", json={"text": " "})
        await client.post("/ner", json={})
        await client.post("/ner", content=b"x", headers={"content-type": "text/plain"})
        app.state.serving.shutdown.drain()
        await client.post("/ner", json={"text": "10"})
        assert set(series(app)) == before


@asynchronous
async def test_after_scripted_requests_every_counter_has_the_value_computed_by_hand() -> None:
    # A window holds six words and the two ids around them, so every window runs in the bucket of 8 tokens. Deadlines
    # pass on a fake clock.
    gate = Gate()
    model = fake_loaded_model("ner", session=gate.session)
    clock = FakeClock()
    async with clocked_app(clock, model, max_queued_items=5, timeout_ms=3_600_000) as (app, client):
        scheduler = app.state.serving.scheduler

        async def post(**body: Any) -> int:
            return (await client.post("/ner", json=body)).status_code

        async def waiting_items(count: int) -> None:
            while scheduler.waiting_items("fake-ner", 8) != count:
                await asyncio.sleep(0)

        running = asyncio.create_task(post(text="10"))  # 1 window, 3 tokens
        await asyncio.to_thread(gate.reached.wait)
        expired = asyncio.create_task(post(text="20", timeout_ms=30_000))  # 1 window, which never runs
        await waiting_items(1)
        gone = Connection("/ner", {"text": "20 " * 8})  # 2 windows, which never run
        leaving = asyncio.create_task(gone.serve(app))
        await waiting_items(3)
        gone.close()
        await leaving
        waiting = asyncio.create_task(post(text="40 " * 24))  # 4 windows, 32 tokens
        await waiting_items(5)
        assert read(app, "queue_depth", **BUCKET) == 5
        assert read(app, "queued_tokens") == 3 + 32
        assert read(app, "requests_in_flight") == 3
        refused = await post(text="30")
        clock.advance(31.0)
        assert read(app, "queue_oldest_age_seconds", **BUCKET) == 31.0
        gate.opened.set()
        assert [await expired, await running, await waiting, refused] == [504, 200, 200, 429]
        assert await post(text="10 20") == 200  # 1 window, 4 tokens
        assert await post(text=["10", "20 30", "40"]) == 200  # 3 windows, 3 + 4 + 3 tokens
        assert await post(text="10 " * 13) == 200  # 3 windows, 8 + 8 + 3 tokens
        assert await post(text=" ") == 422
        assert await post() == 422
        assert await post(text=f"{POISON}") == 500  # 1 window, which fails alone
        assert await post(text="10", model="unknown") == 404
        assert (await client.get("/unknown")).status_code == 404
        app.state.serving.cost_model.measured(BucketKey("fake-ner", 8), 1, 5.0)
        assert await post(text="10", timeout_ms=4000) == 504
        app.state.serving.shutdown.drain()
        assert await post(text="10") == 503

        statuses = {"200": 5, "413": 0, "422": 1, "429": 1, "499": 1, "500": 1, "503": 1, "504": 2}
        for status, count in statuses.items():
            assert read(app, "requests_total", **NER, status=status) == count
        assert read(app, "requests_total", endpoint="/ner", model="", status="422") == 1
        assert read(app, "requests_total", endpoint="/ner", model="", status="404") == 1
        assert read(app, "requests_total", endpoint="unmatched", model="", status="404") == 1
        assert read(app, "request_duration_seconds_count", **NER) == 12
        assert read(app, "requests_in_flight") == 0

        # 200 five times, expired, gone, failed; the other seven never had windows in the queue.
        assert read(app, "admitted_requests_total", **NER) == 8
        refusals = {"queue_full": 1, "deadline_unreachable": 1, "draining": 1, "not_ready": 0}
        for reason, count in refusals.items():
            assert read(app, "refused_requests_total", reason=reason) == count
        for reason, count in {"expired": 1, "cancelled": 2, "unreachable": 0}.items():
            assert read(app, "dropped_windows_total", **BUCKET, reason=reason) == count

        # Documents: running, expired, gone, waiting, one, three of the list, one windowed, failed.
        assert read(app, "windows_per_document_count", **MODEL) == 10
        assert read(app, "windows_per_document_sum", **MODEL) == 1 + 1 + 2 + 4 + 1 + 3 + 3 + 1
        assert read(app, "windows_per_document_bucket", **MODEL, le="1.0") == 7
        assert read(app, "truncated_tokens_total", **MODEL) == 0

        # Windows that ran: running 1, waiting 4, one 1, list 3, windowed 3.
        assert read(app, "tokens_total", **BUCKET) == 3 + 32 + 4 + 10 + 19
        assert read(app, "computed_tokens_total", **BUCKET) == 12 * 8
        assert read(app, "batch_size_sum", **BUCKET) == 12
        assert read(app, "batch_failures_total", **BUCKET) == 1
        for reason in ("out_of_memory", "failure"):
            assert read(app, "batch_splits_total", **BUCKET, reason=reason) == 0
        assert read(app, "terminated_runs_total", **BUCKET) == 0
        batches = read(app, "batch_size_count", **BUCKET)
        for name in ("batch_duration_seconds_count", "run_cost_ratio_count"):
            assert read(app, name, **BUCKET) == batches
        assert read(app, "executor_busy_seconds_total", device="cpu") == pytest.approx(
            read(app, "batch_duration_seconds_sum", **BUCKET)
        )

        observed = {
            "parse": 8,  # once for each admitted request
            "tokenise": 10,  # once for each of their documents
            "queue": 12,  # once for each window that ran
            "collate": 12,
            "inference": 12,
            "decode": 7,  # once for each answered document
            "respond": 5,  # once for each answered request
        }
        for stage, count in observed.items():
            assert read(app, "stage_duration_seconds_count", stage=stage, **BUCKET) == count
            assert read(app, "stage_duration_seconds_count", stage=stage, model="fake-ner", bucket="16") == 0


@asynchronous
async def test_the_stages_of_requests_with_one_window_add_up_to_their_time() -> None:
    async with running_app() as (app, client):
        for text in ("10", "10 20", "10 20 30"):
            assert (await client.post("/ner", json={"text": text})).status_code == 200
        parts = [read(app, "stage_duration_seconds_sum", stage=stage, **BUCKET) or 0.0 for stage in STAGES]
        assert sum(parts) == pytest.approx(read(app, "request_duration_seconds_sum", **NER))


class SlowTask(FakeTask):
    """Takes 2 s to encode and 4 s to decode on a fake clock."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(fake_manifest("ner"))
        self.clock = clock

    def encode(self, request: Any) -> Any:
        self.clock.advance(2.0)
        return super().encode(request)

    def decode(self, encoded: Any, outputs: Any) -> Any:
        self.clock.advance(4.0)
        return super().decode(encoded, outputs)


@asynchronous
async def test_time_counts_for_the_stage_in_which_it_passed() -> None:
    clock = FakeClock()

    def run(batch: Any) -> None:
        if batch.input_ids.any():
            clock.advance(8.0)

    model = replace(fake_loaded_model("ner", session=FakeSession(run)), task=SlowTask(clock))
    async with clocked_app(clock, model) as (app, _):
        connection = Connection("/ner", {"text": "10"})

        async def receive() -> Any:
            message = await connection.incoming.get()
            clock.advance(1.0)
            return message

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                clock.advance(16.0)

        await app(connection.scope, receive, send)
        seconds = {
            stage: read(app, "stage_duration_seconds_sum", stage=stage, **BUCKET)
            for stage in ("parse", "tokenise", "queue", "inference", "decode", "respond")
        }
        assert seconds == {
            "parse": 1.0,
            "tokenise": 2.0,
            "queue": 0.0,
            "inference": 8.0,
            "decode": 4.0,
            "respond": 16.0,
        }
        assert read(app, "request_duration_seconds_sum", **NER) == 31.0
        assert read(app, "batch_duration_seconds_sum", **BUCKET) == 8.0
        assert read(app, "executor_busy_seconds_total", device="cpu") == 8.0


def finished(seconds: float, predicted: float) -> FinishedBatch:
    return FinishedBatch(
        model="fake-ner",
        bucket=8,
        lengths=[3, 5],
        traces=[None, None],
        queue_seconds=[0.1, 0.2],
        device="cpu",
        started_at=0.0,
        collate_seconds=0.5,
        inference_seconds=seconds - 0.5,
        predicted_seconds=predicted,
    )


def test_a_batch_counts_its_windows_its_stages_and_its_cost() -> None:
    registry = CollectorRegistry()
    heard: list[FinishedBatch] = []
    metrics = Metrics(registry, on_batch=heard.append)
    batches = [finished(2.0, 1.0), finished(0.85, 1.0)]
    for batch in batches:
        metrics.batch_finished(batch)
    assert heard == batches
    read = partial(registry.get_sample_value, labels=BUCKET)
    assert read("bigbird_predicted_seconds_total") == 2.0
    assert read("bigbird_batch_duration_seconds_sum") == 2.85
    assert (read("bigbird_tokens_total"), read("bigbird_computed_tokens_total")) == (16, 32)
    assert registry.get_sample_value("bigbird_run_cost_ratio_bucket", {**BUCKET, "le": "0.9"}) == 1
    assert registry.get_sample_value("bigbird_run_cost_ratio_bucket", {**BUCKET, "le": "2.0"}) == 2
    for stage, total in {"queue": 0.6, "collate": 2.0, "inference": 2 * (1.5 + 0.35)}.items():
        labels = {**BUCKET, "stage": stage}
        assert registry.get_sample_value("bigbird_stage_duration_seconds_count", labels) == 4
        assert registry.get_sample_value("bigbird_stage_duration_seconds_sum", labels) == pytest.approx(total)


@asynchronous
async def test_a_failed_run_that_is_tried_in_halves_is_counted() -> None:
    async with running_app() as (app, client):
        for items in (1, 2):  # a batch costs what a document costs, so both run together
            app.state.serving.cost_model.measured(BucketKey("fake-ner", 8), items, 1.0)
        response = await client.post("/ner", json={"text": [f"{POISON}", "10"]})
        assert response.status_code == 500
        assert read(app, "batch_failures_total", **BUCKET) == 2
        assert read(app, "batch_splits_total", **BUCKET, reason="failure") == 1


@asynchronous
async def test_an_accepted_request_that_a_shutdown_ends_is_no_refused_one() -> None:
    gate = Gate()
    model = fake_loaded_model("ner", session=gate.session)
    async with running_app({model.name: model}, drain_timeout_seconds=0) as (app, client):
        running = asyncio.create_task(client.post("/ner", json={"text": "10"}))
        await asyncio.to_thread(gate.reached.wait)
        app.state.serving.shutdown.drain()
        assert (await running).status_code == 503
        gate.opened.set()
        assert read(app, "admitted_requests_total", **NER) == 1
        assert read(app, "refused_requests_total", reason="draining") == 0


@asynchronous
async def test_what_clients_make_up_becomes_no_label() -> None:
    async with running_app() as (app, client):
        await client.post("/ner", json={"text": "10", "model": "invented"})
        await client.get("/invented/path")
        labels = [sample.labels for metric in app.state.serving.metrics.registry.collect() for sample in metric.samples]
        assert not any("invented" in value for values in labels for value in values.values())


def test_two_applications_in_one_process_do_not_share_metrics() -> None:
    first, second = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())
    first.declare_model("fake", fake_manifest("ner"), "/ner", 0, "a1b2")
    assert second.registry.get_sample_value("bigbird_tokens_total", {"model": "fake", "bucket": "8"}) is None


@pytest.mark.parametrize("task", get_args(TaskName))
def test_a_loaded_model_is_described(task: str) -> None:
    registry = CollectorRegistry()
    Metrics(registry).declare_model("fake", fake_manifest(task), f"/{task}", 4096, "a1b2")
    labels = {"model": "fake", "task": task, "pattern": "transformers", "precision": "fp32"}
    assert (
        registry.get_sample_value("bigbird_model_info", {**labels, "source_sha256": "0" * 64, "revision": "a1b2"}) == 1
    )
    assert registry.get_sample_value("bigbird_model_weights_bytes", {"model": "fake"}) == 4096


def test_what_is_watched_is_read_when_it_is_collected() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    state = {"depth": 3.0, "age": 1.5, "alive": 1.0}
    metrics.watch_queue("fake", 8, lambda: state["depth"], lambda: state["age"])
    metrics.watch_device("cuda:0", "NVIDIA H200", lambda: state["alive"], lambda: 0.0)
    metrics.watch_service(lambda: 7.0, lambda: 1.0, lambda: 0.0)
    assert registry.get_sample_value("bigbird_queue_depth", {"model": "fake", "bucket": "8"}) == 3.0
    state.update(depth=0.0, age=0.0, alive=0.0)
    assert registry.get_sample_value("bigbird_queue_depth", {"model": "fake", "bucket": "8"}) == 0.0
    assert registry.get_sample_value("bigbird_queue_oldest_age_seconds", {"model": "fake", "bucket": "8"}) == 0.0
    assert registry.get_sample_value("bigbird_executor_alive", {"device": "cuda:0"}) == 0.0
    assert registry.get_sample_value("bigbird_device_info", {"device": "cuda:0", "name": "NVIDIA H200"}) == 1
    assert registry.get_sample_value("bigbird_queued_tokens") == 7.0
