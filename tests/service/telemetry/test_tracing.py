"""Traces of a running application, and what it takes to have them."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from bigbird_inference.buckets import BucketKey
from service.settings import InvalidSettings, Settings
from service.telemetry.opentelemetry_tracing import OpenTelemetryTracing
from service.telemetry.tracing import NoTracing, create_tracing
from tests.fake_model import POISON, fake_loaded_model
from tests.service.api.test_disconnect import Connection
from tests.service.asynchronous import asynchronous
from tests.service.gate import Gate
from tests.service.running_app import running_app
from tests.service.telemetry.captured_logs import captured_log
from tests.service.telemetry.collector import attributes, running_collector

ROOT = Path(__file__).parents[3]
STAGES = ["parse", "tokenise", "queue", "collate", "inference", "decode", "respond"]
CALLER_TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER_SPAN = "b7ad6b7169203331"
CANARY = "kanarienvogel"


@pytest.fixture(autouse=True)
def no_standard_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine exports to, the tests do not."""
    for name in ("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_SDK_DISABLED", "OTEL_SERVICE_NAME"):
        monkeypatch.delenv(name, raising=False)


@asynccontextmanager
async def traced_app(**options: Any) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient, InMemorySpanExporter]]:
    exporter = InMemorySpanExporter()
    with pytest.MonkeyPatch.context() as patch:
        tracing = OpenTelemetryTracing(lambda: SimpleSpanProcessor(exporter))
        patch.setattr("service.app.create_tracing", lambda settings: tracing)
        async with running_app(**options) as (app, client):
            yield app, client, exporter


def named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


def milliseconds(span: ReadableSpan) -> float:
    assert span.end_time is not None and span.start_time is not None
    return (span.end_time - span.start_time) / 1e6


@asynchronous
async def test_a_requests_spans_say_what_its_log_line_says() -> None:
    with captured_log() as log:
        async with traced_app() as (_, client, exporter):
            await client.post("/ner", json={"text": "10 20"}, headers={"x-request-id": "order-17"})
    (line,) = log.requests
    (request,) = named(exporter, "POST /ner")
    assert request.kind is SpanKind.SERVER
    assert request.parent is None
    assert format_trace_id(request.context.trace_id) == line["trace_id"]
    assert dict(request.attributes or {}) == {
        "http.request.method": line["method"],
        "http.route": line["endpoint"],
        "http.response.status_code": line["status"],
        "bigbird.request_id": line["request_id"],
        "bigbird.model": line["model"],
        "bigbird.windows": line["windows"],
        "bigbird.tokens": line["tokens"],
        "bigbird.buckets": tuple(line["buckets"]),
    }
    assert milliseconds(request) == pytest.approx(line["duration_ms"], abs=0.002)
    stages = [span for span in exporter.get_finished_spans() if span.name in STAGES]
    assert [span.name for span in stages] == STAGES
    assert stages[0].start_time == request.start_time
    assert stages[-1].end_time == request.end_time
    for before, after in pairwise(stages):
        assert before.end_time == after.start_time
    for span in stages:
        assert span.parent is not None and span.parent.span_id == request.context.span_id
        assert milliseconds(span) == pytest.approx(line[f"{span.name}_ms"], abs=0.002)
        assert dict(span.attributes or {}) == {"bigbird.model": "fake-ner", "bigbird.buckets": (8,)}


@asynchronous
async def test_a_batch_is_a_trace_of_its_own_that_is_linked_with_its_requests_both_ways() -> None:
    gate = Gate()
    model = fake_loaded_model("ner", session=gate.session)
    async with traced_app(models={model.name: model}) as (app, client, exporter):
        for items in (1, 2):  # a batch costs what a document costs, so both run together
            app.state.serving.cost_model.measured(BucketKey("fake-ner", 8), items, 1.0)
        first = asyncio.create_task(client.post("/ner", json={"text": "10"}))
        await asyncio.to_thread(gate.reached.wait)
        others = [asyncio.create_task(client.post("/ner", json={"text": text})) for text in ("20", "30 40")]
        while app.state.serving.scheduler.waiting_items("fake-ner", 8) < 2:
            await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.gather(first, *others)
    batches = named(exporter, "batch")
    assert [(span.attributes or {})["bigbird.windows"] for span in batches] == [1, 2]
    shared = batches[1]
    assert shared.parent is None
    requests = {span.context.span_id: span for span in named(exporter, "POST /ner")}
    linked = [requests[link.context.span_id] for link in shared.links]
    assert len(linked) == 2
    assert all(shared.context.trace_id != request.context.trace_id for request in linked)
    inferences = {span.parent.span_id: span for span in named(exporter, "inference") if span.parent is not None}
    for request in linked:
        (link,) = inferences[request.context.span_id].links
        assert link.context.span_id == shared.context.span_id
        assert link.context.trace_id == shared.context.trace_id
    described = dict(shared.attributes or {})
    assert (described["bigbird.bucket"], described["bigbird.tokens"], described["bigbird.device"]) == (8, 7, "cpu")


@asynchronous
async def test_the_callers_trace_goes_on() -> None:
    with captured_log() as log:
        async with traced_app() as (_, client, exporter):
            parent = f"00-{CALLER_TRACE}-{CALLER_SPAN}-01"
            await client.post("/ner", json={"text": "10"}, headers={"traceparent": parent, "tracestate": "vendor=1"})
    (request,) = named(exporter, "POST /ner")
    assert format_trace_id(request.context.trace_id) == CALLER_TRACE == log.requests[0]["trace_id"]
    assert request.parent is not None and format_span_id(request.parent.span_id) == CALLER_SPAN


@asynchronous
async def test_a_trace_that_the_caller_does_not_record_is_not_recorded_but_named_in_the_log() -> None:
    with captured_log() as log:
        async with traced_app() as (_, client, exporter):
            parent = f"00-{CALLER_TRACE}-{CALLER_SPAN}-00"
            await client.post("/ner", json={"text": "10"}, headers={"traceparent": parent})
    assert exporter.get_finished_spans() == ()
    assert log.requests[0]["trace_id"] == CALLER_TRACE


@asynchronous
async def test_the_standard_sampler_decides_about_requests_and_batches_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    async with traced_app() as (_, client, exporter):
        await client.post("/ner", json={"text": "10"})
        assert exporter.get_finished_spans() == ()
        await client.post("/ner", json={"text": "10"}, headers={"traceparent": f"00-{CALLER_TRACE}-{CALLER_SPAN}-01"})
    assert sorted(span.name for span in exporter.get_finished_spans()) == sorted([*STAGES, "POST /ner", "batch"])


@pytest.mark.parametrize(
    ("text", "status", "kind"),
    [
        pytest.param(f"{POISON}", 500, StatusCode.ERROR, id="a run that fails"),
        pytest.param("crash while encoding", 500, StatusCode.ERROR, id="an unexpected error"),
        pytest.param(" ", 422, StatusCode.UNSET, id="what the client did wrong is not an error of the server"),
    ],
)
@asynchronous
async def test_a_request_that_failed_is_traced_with_its_status(text: str, status: int, kind: StatusCode) -> None:
    async with traced_app() as (_, client, exporter):
        await client.post("/ner", json={"text": text})
    (request,) = named(exporter, "POST /ner")
    assert (request.attributes or {})["http.response.status_code"] == status
    assert request.status.status_code is kind
    assert request.events == ()


@asynchronous
async def test_probes_are_not_traced_and_paths_that_nobody_knows_are_not_named() -> None:
    async with traced_app() as (_, client, exporter):
        for path in ("/health/live", "/health/ready", "/metrics", f"/{CANARY}"):
            await client.get(path)
    (unknown,) = exporter.get_finished_spans()
    assert unknown.name == "GET"
    assert "http.route" not in (unknown.attributes or {})


@asynchronous
async def test_a_long_document_and_a_client_that_leaves_are_traced_too() -> None:
    async with traced_app() as (app, client, exporter):
        await client.post("/ner", json={"text": ["10 " * 40, "20"]})
        gone = Connection("/ner", {"text": "10"}, more_body=True)
        gone.close()
        await gone.serve(app)
    long, left = named(exporter, "POST /ner")
    assert (long.attributes or {})["bigbird.windows"] == 8
    assert [span.name for span in exporter.get_finished_spans() if span.name in STAGES] == STAGES
    assert (left.attributes or {})["http.response.status_code"] == 499


@asynchronous
async def test_no_text_and_no_header_of_a_client_is_in_a_span() -> None:
    async with traced_app() as (_, client, exporter):
        for text in (CANARY, f"{CANARY} {POISON}", f"{CANARY} " * 30, "crash while encoding"):
            headers = {"x-request-id": f"{CANARY} {CANARY}", "authorization": CANARY, "baggage": f"user={CANARY}"}
            await client.post(f"/ner?{CANARY}={CANARY}", json={"text": text}, headers=headers)
            await client.post("/ner", json={"text": text, "model": CANARY})
    assert len(exporter.get_finished_spans()) > 8
    assert not any(CANARY in span.to_json() for span in exporter.get_finished_spans())


@asynchronous
async def test_fastapi_tells_nothing_besides_even_where_a_global_provider_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    async with running_app() as (_, client):
        await client.post("/ner", json={"text": "10"})
    assert exporter.get_finished_spans() == ()


@asynchronous
async def test_a_collector_receives_the_trace_over_http_as_the_standard_variables_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with running_collector() as collector, captured_log() as log:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
        async with running_app(tracing=True) as (_, client):
            await client.post("/ner", json={"text": "10 20"}, headers={"x-request-id": "order-17"})
    (line,) = log.requests
    assert set(collector.paths) == {"/v1/traces"}
    resource = collector.resources[0]
    assert (resource["service.name"], resource["deployment.environment"]) == ("bigbird-serve", "test")
    spans = {span.name: span for span in collector.spans}
    assert set(spans) == {*STAGES, "POST /ner", "batch"}
    request = spans["POST /ner"]
    described = attributes(request)
    assert request.trace_id.hex() == line["trace_id"]
    assert described["bigbird.request_id"] == line["request_id"] == "order-17"
    assert (described["bigbird.model"], described["bigbird.buckets"]) == (line["model"], line["buckets"])
    for stage in STAGES:
        span = spans[stage]
        assert (span.trace_id, span.parent_span_id) == (request.trace_id, request.span_id)
        took = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
        assert took == pytest.approx(line[f"{stage}_ms"], abs=0.002)
    assert spans["batch"].links[0].span_id == request.span_id
    assert spans["inference"].links[0].span_id == spans["batch"].span_id


@asynchronous
async def test_the_standard_variable_renames_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "contracts")
    async with traced_app() as (_, client, exporter):
        await client.post("/ner", json={"text": "10"})
    assert exporter.get_finished_spans()[0].resource.attributes["service.name"] == "contracts"


def test_a_collector_that_does_not_answer_does_not_keep_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    class Silent(SpanProcessor):
        def shutdown(self) -> None:
            assert answered.wait(timeout=60)

    monkeypatch.setattr("service.telemetry.opentelemetry_tracing._CLOSING_SECONDS", 0.01)
    tracing = OpenTelemetryTracing(Silent)
    tracing.start()
    tracing.close()
    answered.set()


def test_tracing_is_off_by_default() -> None:
    assert isinstance(create_tracing(Settings()), NoTracing)


def test_without_its_packages_tracing_stops_the_start_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "service.telemetry.opentelemetry_tracing", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(InvalidSettings, match=r"^BIGBIRD_TRACING: .*pip install '.*\[tracing\]'"):
        create_tracing(Settings(tracing=True))


@pytest.mark.parametrize(
    ("variable", "value"),
    [("OTEL_TRACES_EXPORTER", "zipkin"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
    ids=["another exporter", "another protocol"],
)
def test_an_exporter_that_is_not_there_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidSettings, match=f"^{variable}: .*{value}"):
        create_tracing(Settings(tracing=True))


def test_where_tracing_is_off_neither_its_module_nor_the_sdk_is_imported() -> None:
    script = (
        "import sys, service.process.server, service.app\n"
        "from service.settings import Settings\n"
        "service.app.create_app(Settings(), {})\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter',"
        " 'service.telemetry.opentelemetry'))])"
    )
    printed = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"
