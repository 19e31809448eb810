"""Spans of OpenTelemetry: one for each request, one for each of its stages, and one for each batch.

    POST /qa                  the server's span, in the caller's trace (W3C `traceparent`)
      parse, tokenise, queue, collate, inference, decode, respond
    batch                     a trace of its own, linked with the spans of its requests; their `inference` links back

The spans are made of the same record as the log line. The exporter is OTLP over HTTP; it, the sampler and the resource
are set by the standard `OTEL_*` variables. FastAPI's own spans are off (`service.app`), so that nothing is told twice,
and nothing of a request's text is told at all.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    Tracer,
    format_trace_id,
    set_span_in_context,
)

from bigbird_inference.version import service_version
from service.batching.observer import FinishedBatch
from service.telemetry.request_record import UNMATCHED, RequestRecord

_NAME = "bigbird-serve"
_CLOSING_SECONDS = 3.0
_SUPPORTED = {
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
}


def unsupported_exporter() -> str | None:
    """Return what is wrong with the exporter that the environment asks for, or None."""
    for variable, supported in _SUPPORTED.items():
        if os.environ.get(variable) not in (None, "", supported):
            return f"{variable}: traces can be exported with {supported} only (got {os.environ[variable]!r})"
    return None


@dataclass(slots=True)
class RequestSpan:
    """A request's span while it is open.

    Attributes:
        span: OpenTelemetry's.
        epoch_ns: The wall clock's nanoseconds at 0 of the service's clock.
        batches: The batches that its windows ran in.
    """

    span: Span
    epoch_ns: int
    batches: list[SpanContext] = field(default_factory=list)

    def at(self, seconds: float) -> int:
        """Return a time of the service's clock in nanoseconds of the wall clock."""
        return self.epoch_ns + round(seconds * 1e9)


class OpenTelemetryTracing:
    """Tracing that is on.

    Args:
        make_processor: Returns what receives ended spans.
        clock: The service's clock, in monotonic seconds.
    """

    def __init__(
        self,
        make_processor: Callable[[], SpanProcessor] = lambda: BatchSpanProcessor(OTLPSpanExporter()),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make_processor = make_processor
        self._clock = clock
        self._provider: TracerProvider
        self._requests: Tracer
        self._batches: Tracer

    def start(self) -> None:
        # These would log what clients put into their headers.
        for name in ("opentelemetry.trace", "opentelemetry.baggage"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        processor = self._make_processor()
        resource = _resource()
        # Not the global provider: that belongs to whoever embeds the application.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._requests = self._provider.get_tracer(_NAME, service_version())
        # The sampler decides about requests. A batch is recorded if one of its requests is.
        batch_provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        batch_provider.add_span_processor(processor)
        self._batches = batch_provider.get_tracer(_NAME, service_version())

    def close(self) -> None:
        # Every request has been answered by now: a collector that does not must not keep the process.
        closing = threading.Thread(target=self._provider.shutdown, name="trace-export", daemon=True)
        closing.start()
        closing.join(_CLOSING_SECONDS)

    def request_started(self, record: RequestRecord, headers: Iterable[tuple[bytes, bytes]]) -> None:
        carrier: dict[str, list[str]] = {}
        for name, value in headers:
            carrier.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        epoch_ns = time.time_ns() - round(self._clock() * 1e9)
        span = self._requests.start_span(
            record.method,
            context=propagate.extract(carrier, Context()),
            kind=SpanKind.SERVER,
            start_time=epoch_ns + round(record.arrived_at * 1e9),
        )
        context = span.get_span_context()
        if context.is_valid:
            record.trace_id = format_trace_id(context.trace_id)
        record.span = RequestSpan(span, epoch_ns)

    def request_finished(self, record: RequestRecord) -> None:
        own: RequestSpan = record.span
        if not own.span.is_recording():
            return
        if record.endpoint != UNMATCHED:
            own.span.update_name(f"{record.method} {record.endpoint}")
        own.span.set_attributes(_request_attributes(record))
        if record.status >= 500:
            own.span.set_attribute("error.type", str(record.status))
            own.span.set_status(StatusCode.ERROR)
        parent = set_span_in_context(own.span, Context())
        model: dict[str, Any] = {"bigbird.model": record.model, "bigbird.buckets": record.buckets}
        batches = [Link(context) for context in own.batches]
        for interval in record.stages.intervals:
            stage = self._requests.start_span(
                interval.stage,
                context=parent,
                attributes=model,
                links=batches if interval.stage == "inference" else (),
                start_time=own.at(interval.start),
            )
            stage.end(own.at(interval.end))
        own.span.end(own.at(record.ended_at))

    def batch_finished(self, batch: FinishedBatch) -> None:
        spans = {
            id(record): record.span
            for record in batch.traces
            if isinstance(record, RequestRecord) and record.span is not None and record.span.span.is_recording()
        }
        if not spans:
            return
        first = next(iter(spans.values()))
        span = self._batches.start_span(
            "batch",
            context=Context(),
            attributes={
                "bigbird.model": batch.model,
                "bigbird.bucket": batch.bucket,
                "bigbird.device": batch.device,
                "bigbird.windows": len(batch.lengths),
                "bigbird.tokens": sum(batch.lengths),
                "bigbird.collate_ms": batch.collate_seconds * 1000,
                "bigbird.inference_ms": batch.inference_seconds * 1000,
                "bigbird.predicted_ms": batch.predicted_seconds * 1000,
            },
            links=[Link(own.span.get_span_context()) for own in spans.values()],
            start_time=first.at(batch.started_at),
        )
        span.end(first.at(batch.started_at + batch.seconds))
        for own in spans.values():
            own.batches.append(span.get_span_context())


def _resource() -> Resource:
    """Describe this service, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` name it otherwise."""
    resource = Resource.create({SERVICE_VERSION: service_version()})
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: _NAME}))
    return resource


def _request_attributes(record: RequestRecord) -> dict[str, Any]:
    """Return what the log line says, with the standard names where there are some."""
    attributes: dict[str, Any] = {
        "http.request.method": record.method,
        "http.response.status_code": record.status,
        "bigbird.request_id": record.request_id,
    }
    if record.endpoint != UNMATCHED:
        attributes["http.route"] = record.endpoint
    if record.model:
        attributes["bigbird.model"] = record.model
    if record.refused is not None:
        attributes["bigbird.refused"] = record.refused
    if record.items:
        attributes["bigbird.windows"] = sum(item.windows for item in record.items)
        attributes["bigbird.tokens"] = sum(item.tokens for item in record.items)
        attributes["bigbird.buckets"] = record.buckets
    return attributes
