"""Metrics of requests: how many, how they ended, how long they took, what they asked for, and by which key."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.telemetry.request_record import ItemRecord, RequestRecord
from service.telemetry.stages import SECONDS, StageMetrics, series_of

# What can happen once a model was chosen, and before.
_MODEL_STATUSES = (200, 413, 422, 429, 499, 500, 503, 504)
_UNCHOSEN_STATUSES = (400, 401, 404, 405, 413, 415, 422, 429, 499, 500)
_REFUSALS = ("queue_full", "not_ready", "draining", "deadline_unreachable", "too_many_requests")
_WINDOWS = (1, 2, 3, 4, 6, 8, 12, 16, 32, 64, 128, 256)


class RequestMetrics:
    """Counts requests.

    Args:
        registry: Where the metrics are registered.
        stages: Receives the stages that belong to a request rather than to a batch.
    """

    def __init__(self, registry: CollectorRegistry, stages: StageMetrics) -> None:
        self._stages = stages
        self._requests = series_of(
            Counter(
                "bigbird_requests",
                "Requests by HTTP status; 499 is a client that left before its answer.",
                ["endpoint", "model", "status"],
                registry=registry,
            )
        )
        self._admitted = series_of(
            Counter(
                "bigbird_admitted_requests",
                "Requests whose windows were accepted into the queue.",
                ["endpoint", "model"],
                registry=registry,
            )
        )
        self._refused = series_of(
            Counter(
                "bigbird_refused_requests",
                "Requests refused because of the server's state.",
                ["reason"],
                registry=registry,
            )
        )
        self._seconds = series_of(
            Histogram(
                "bigbird_request_duration_seconds",
                "Time from a request's arrival to the end of its answer.",
                ["endpoint", "model"],
                buckets=SECONDS,
                registry=registry,
            )
        )
        self._dialects = series_of(
            Counter(
                "bigbird_dialect_requests",
                "Requests by the dialect that they were asked in, `native` for the service's own.",
                ["dialect", "endpoint"],
                registry=registry,
            )
        )
        self._in_flight = Gauge("bigbird_requests_in_flight", "Requests that have no answer yet.", registry=registry)
        self._windows = series_of(
            Histogram(
                "bigbird_windows_per_document",
                "Windows of an accepted document.",
                ["model"],
                buckets=_WINDOWS,
                registry=registry,
            )
        )
        self._truncated = series_of(
            Counter(
                "bigbird_truncated_tokens",
                "Tokens of answered documents that no window held; documents are windowed or refused, so this stays 0.",
                ["model"],
                registry=registry,
            )
        )
        for reason in _REFUSALS:
            self._refused(reason)

    def declare(self, endpoint: str, model: str) -> None:
        """Create a loaded model's series."""
        for name in (model, ""):
            self._seconds(endpoint, name)
        self._admitted(endpoint, model)
        self._dialects("native", endpoint)
        self._windows(model)
        self._truncated(model)
        for status in _MODEL_STATUSES:
            self._requests(endpoint, model, status)
        for status in _UNCHOSEN_STATUSES:
            self._requests(endpoint, "", status)

    def started(self) -> None:
        self._in_flight.inc()

    def refused(self, reason: str) -> None:
        self._refused(reason).inc()

    def admitted(self, endpoint: str, model: str, items: list[ItemRecord]) -> None:
        """Count a request whose windows were accepted, and its documents."""
        self._admitted(endpoint, model).inc()
        windows = self._windows(model)
        for item in items:
            windows.observe(item.windows)

    def answered(self, model: str, truncated_tokens: int) -> None:
        """Count what an answered document cost."""
        self._truncated(model).inc(truncated_tokens)

    def finished(self, record: RequestRecord) -> None:
        """Count a request that has ended, and the stages that it passed."""
        self._in_flight.dec()
        self._requests(record.endpoint, record.model, record.status).inc()
        self._dialects(record.dialect, record.endpoint).inc()
        self._seconds(record.endpoint, record.model).observe(record.seconds)
        if not record.items:
            return
        longest = max(item.bucket for item in record.items)
        self._stages.observe("parse", record.model, longest, record.stages.seconds["parse"])
        for item in record.items:
            self._stages.observe("tokenise", record.model, item.bucket, item.stages.seconds["tokenise"])
            if item.answered:
                self._stages.observe("decode", record.model, item.bucket, item.stages.seconds["decode"])
        if record.answered:
            self._stages.observe("respond", record.model, longest, record.stages.seconds["respond"])


UNKNOWN = ""
"""The label of requests without a known key."""


class KeyMetrics:
    """Counts the requests of each key, and those that were refused for want of one.

    The label is a name from the configuration or empty, never what a client sent.

    Args:
        registry: Where the metrics are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = series_of(
            Counter(
                "bigbird_key_requests",
                "Requests by the name of their key; those with an empty name were refused for want of a known one.",
                ["key", "status"],
                registry=registry,
            )
        )
        self._requests(UNKNOWN, 401)

    def declare(self, names: Iterable[str]) -> None:
        """Create the series of known keys."""
        for name in names:
            self._requests(name, 200)

    def finished(self, record: RequestRecord) -> None:
        """Count a request that has ended, unless it had no key and needed none."""
        if record.key is not None:
            self._requests(record.key, record.status).inc()
        elif record.status == 401:
            self._requests(UNKNOWN, 401).inc()
