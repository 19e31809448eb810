from typing import Any, get_args

import pytest
from prometheus_client import CollectorRegistry

from service.batching.observer import FinishedBatch
from service.bundle import TaskName
from service.metrics import Metrics
from tests.service.asynchronous import asynchronous
from tests.service.fake_model import POISON, fake_manifest
from tests.service.running_app import running_app

NER = {"endpoint": "/ner", "model": "fake-ner"}
BUCKET = {"model": "fake-ner", "bucket": "8"}


def read(app: Any, name: str, **labels: str) -> float | None:
    value: float | None = app.state.serving.metrics.registry.get_sample_value(name, labels)
    return value


@asynchronous
async def test_series_stand_at_zero_before_the_first_request() -> None:
    async with running_app() as (app, _):
        for status in ("200", "422", "429", "499", "500", "503", "504"):
            assert read(app, "bigbird_requests_total", **NER, status=status) == 0
        assert read(app, "bigbird_request_duration_seconds_count", **NER) == 0
        for name in (
            "batch_failures_total",
            "terminated_runs_total",
            "predicted_seconds_total",
            "run_cost_ratio_count",
        ):
            assert read(app, f"bigbird_{name}", **BUCKET) == 0
        for name in ("tokens_total", "padding_tokens_total", "batch_size_count"):
            assert read(app, f"bigbird_{name}", **BUCKET) == 0
        for name in ("queue_seconds_count", "inference_seconds_count", "queue_depth"):
            assert read(app, f"bigbird_{name}", **BUCKET) == 0
        for reason in ("out_of_memory", "failure"):
            assert read(app, "bigbird_batch_splits_total", **BUCKET, reason=reason) == 0
        for reason in ("cancelled", "expired", "unreachable"):
            assert read(app, "bigbird_dropped_windows_total", **BUCKET, reason=reason) == 0
        for reason in ("queue_full", "not_ready", "draining", "deadline_unreachable"):
            assert read(app, "bigbird_refused_requests_total", reason=reason) == 0
        assert read(app, "bigbird_queued_tokens") == 0
        assert read(app, "bigbird_ready") == 1


@asynchronous
async def test_a_request_is_counted_with_its_tokens_and_its_padding() -> None:
    async with running_app() as (app, client):
        await client.post("/ner", json={"text": "10 20"})
        assert read(app, "bigbird_requests_total", **NER, status="200") == 1
        assert read(app, "bigbird_request_duration_seconds_count", **NER) == 1
        assert read(app, "bigbird_tokens_total", **BUCKET) == 4
        assert read(app, "bigbird_padding_tokens_total", **BUCKET) == 4
        assert read(app, "bigbird_batch_size_sum", **BUCKET) == 1
        assert read(app, "bigbird_queue_seconds_count", **BUCKET) == 1
        assert read(app, "bigbird_inference_seconds_count", **BUCKET) == 1
        assert read(app, "bigbird_requests_in_flight") == 0


@asynchronous
async def test_failures_and_refusals_are_counted() -> None:
    async with running_app() as (app, client):
        await client.post("/ner", json={"text": f"{POISON}"})
        app.state.serving.begin_drain()
        await client.post("/ner", json={"text": "10"})
        assert read(app, "bigbird_requests_total", **NER, status="500") == 1
        assert read(app, "bigbird_batch_failures_total", **BUCKET) == 1
        assert read(app, "bigbird_requests_total", **NER, status="503") == 1
        assert read(app, "bigbird_refused_requests_total", reason="draining") == 1
        assert read(app, "bigbird_ready") == 0


def test_a_runs_cost_is_compared_with_what_was_predicted() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for seconds, predicted in ((2.0, 1.0), (0.85, 1.0)):
        metrics.batch_finished(FinishedBatch("fake", 8, [3, 5], [0.1, 0.2], seconds, predicted))
    labels = {"model": "fake", "bucket": "8"}
    assert registry.get_sample_value("bigbird_predicted_seconds_total", labels) == 2.0
    assert registry.get_sample_value("bigbird_inference_seconds_sum", labels) == 2.85
    assert registry.get_sample_value("bigbird_run_cost_ratio_bucket", {**labels, "le": "0.9"}) == 1
    assert registry.get_sample_value("bigbird_run_cost_ratio_bucket", {**labels, "le": "2.0"}) == 2


@asynchronous
async def test_a_failed_run_that_is_tried_in_halves_is_counted() -> None:
    async with running_app() as (app, client):
        for items in (1, 2):  # a batch costs what a document costs, so both run together
            app.state.serving.cost_model.measured("fake-ner", 8, items, 1.0)
        response = await client.post("/ner", json={"text": [f"{POISON}", "10"]})
        assert response.status_code == 500
        assert read(app, "bigbird_batch_failures_total", **BUCKET) == 2
        assert read(app, "bigbird_batch_splits_total", **BUCKET, reason="failure") == 1


@asynchronous
async def test_what_clients_make_up_becomes_no_label() -> None:
    async with running_app() as (app, client):
        await client.post("/ner", json={"text": "10", "model": "invented"})
        await client.get("/invented/path")
        labels = [sample.labels for metric in app.state.serving.metrics.registry.collect() for sample in metric.samples]
        assert not any("invented" in value for values in labels for value in values.values())
        assert read(app, "bigbird_requests_total", endpoint="/ner", model="", status="404") == 1
        assert read(app, "bigbird_requests_total", endpoint="unmatched", model="", status="404") == 1


def test_every_metric_has_the_prefix_and_a_description() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    assert all(metric.name.startswith("bigbird_") and metric.documentation for metric in registry.collect())


def test_two_applications_in_one_process_do_not_share_metrics() -> None:
    first, second = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())
    first.declare_model("fake", fake_manifest("ner"), "/ner")
    assert second.registry.get_sample_value("bigbird_tokens_total", {"model": "fake", "bucket": "8"}) is None


@pytest.mark.parametrize("task", get_args(TaskName))
def test_a_loaded_model_is_described(task: str) -> None:
    registry = CollectorRegistry()
    Metrics(registry).declare_model("fake", fake_manifest(task), f"/{task}")
    labels = {"model": "fake", "task": task, "pattern": "transformers", "precision": "fp32"}
    assert registry.get_sample_value("bigbird_model_info", {**labels, "source_sha256": "0" * 64}) == 1
