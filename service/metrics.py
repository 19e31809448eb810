"""Every metric of the service, in a registry that is passed in.

Labels are bounded: `model` is the name of a loaded bundle or empty (requests that never reached one), `endpoint` a
route of the application or `unmatched`. Series exist at zero before the first request, so that rates and alerts work
from the start.
"""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.batching.observer import DropReason, FinishedBatch, SplitReason
from service.bundle import Manifest

# From a short document on a GPU to a book on two cores.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
_MODEL_STATUSES = (200, 413, 422, 429, 499, 500, 503, 504)
_UNCHOSEN_STATUSES = (400, 404, 405, 413, 415, 422, 499)
_REFUSALS = ("queue_full", "not_ready", "draining", "deadline_unreachable")
_DROP_REASONS: tuple[DropReason, ...] = ("cancelled", "expired", "unreachable")
_SPLIT_REASONS: tuple[SplitReason, ...] = ("out_of_memory", "failure")
# Actual over predicted time of a run: 1 is a perfect prediction.
_COST_RATIOS = (0.25, 0.5, 0.67, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 4.0)


class Metrics:
    """Counts requests on one side and batches on the other; it is the scheduler's observer.

    Args:
        registry: Where the metrics are registered; one per application.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._requests = Counter(
            "bigbird_requests",
            "Requests by HTTP status; 499 is a client that left before its answer.",
            ["endpoint", "model", "status"],
            registry=registry,
        )
        self._request_seconds = Histogram(
            "bigbird_request_duration_seconds",
            "Time from a request's arrival to the end of its answer.",
            ["endpoint", "model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._in_flight = Gauge("bigbird_requests_in_flight", "Requests that have no answer yet.", registry=registry)
        self._refused = Counter(
            "bigbird_refused_requests", "Requests refused because of the server's state.", ["reason"], registry=registry
        )
        bucket = ["model", "bucket"]
        self._tokens = Counter("bigbird_tokens", "Real tokens that were run.", bucket, registry=registry)
        self._padding = Counter("bigbird_padding_tokens", "Padding that was run.", bucket, registry=registry)
        self._batch_size = Histogram(
            "bigbird_batch_size", "Windows in a batch.", bucket, buckets=_BATCH_SIZES, registry=registry
        )
        self._queue_seconds = Histogram(
            "bigbird_queue_seconds", "Time a window waited for its run.", bucket, buckets=_SECONDS, registry=registry
        )
        self._inference_seconds = Histogram(
            "bigbird_inference_seconds", "Duration of a batch's run.", bucket, buckets=_SECONDS, registry=registry
        )
        self._cost_ratio = Histogram(
            "bigbird_run_cost_ratio",
            "Duration of a batch's run, over what the cost model predicted.",
            bucket,
            buckets=_COST_RATIOS,
            registry=registry,
        )
        self._predicted_seconds = Counter(
            "bigbird_predicted_seconds", "What the cost model predicted of all runs.", bucket, registry=registry
        )
        self._batch_failures = Counter("bigbird_batch_failures", "Runs that failed.", bucket, registry=registry)
        self._splits = Counter(
            "bigbird_batch_splits",
            "Runs that failed and were tried again in two halves.",
            [*bucket, "reason"],
            registry=registry,
        )
        self._terminated = Counter(
            "bigbird_terminated_runs",
            "Runs that were ended because nobody waited for them any more.",
            bucket,
            registry=registry,
        )
        self._dropped = Counter(
            "bigbird_dropped_windows",
            "Windows that left a queue without running: the client had gone, or the deadline had passed or was out of "
            "reach.",
            [*bucket, "reason"],
            registry=registry,
        )
        self._queue_depth = Gauge("bigbird_queue_depth", "Windows that wait.", bucket, registry=registry)
        self._queued_tokens = Gauge("bigbird_queued_tokens", "Real tokens that wait.", registry=registry)
        self._ready = Gauge("bigbird_ready", "1 if requests are accepted.", registry=registry)
        self._build = Gauge("bigbird_build_info", "The running version.", ["version"], registry=registry)
        self._model_info = Gauge(
            "bigbird_model_info",
            "A loaded model.",
            ["model", "task", "pattern", "precision", "source_sha256"],
            registry=registry,
        )
        self._build.labels(version=service_version()).set(1)
        for reason in _REFUSALS:
            self._refused.labels(reason=reason)

    # Set-up: every series at zero.

    def declare_model(self, name: str, manifest: Manifest, endpoint: str) -> None:
        """Create a loaded model's series."""
        self._model_info.labels(
            model=name,
            task=manifest.task,
            pattern=manifest.pattern,
            precision=manifest.precision,
            source_sha256=manifest.source.sha256,
        ).set(1)
        self._request_seconds.labels(endpoint=endpoint, model=name)
        for status in _MODEL_STATUSES:
            self._requests.labels(endpoint=endpoint, model=name, status=status)
        for status in _UNCHOSEN_STATUSES:
            self._requests.labels(endpoint=endpoint, model="", status=status)
        for length in (bucket.length for bucket in manifest.buckets):
            for counter in (self._tokens, self._padding, self._predicted_seconds):
                counter.labels(model=name, bucket=length)
            for counter in (self._batch_failures, self._terminated):
                counter.labels(model=name, bucket=length)
            for histogram in (self._batch_size, self._queue_seconds, self._inference_seconds, self._cost_ratio):
                histogram.labels(model=name, bucket=length)
            for drop_reason in _DROP_REASONS:
                self._dropped.labels(model=name, bucket=length, reason=drop_reason)
            for split_reason in _SPLIT_REASONS:
                self._splits.labels(model=name, bucket=length, reason=split_reason)

    def watch_queue(self, model: str, bucket: int, depth: Callable[[], float]) -> None:
        """Read a queue's depth whenever the metrics are collected."""
        self._queue_depth.labels(model=model, bucket=bucket).set_function(depth)

    def watch_service(self, queued_tokens: Callable[[], float], ready: Callable[[], float]) -> None:
        """Read the service's state whenever the metrics are collected."""
        self._queued_tokens.set_function(queued_tokens)
        self._ready.set_function(ready)

    # Requests.

    def request_started(self) -> None:
        self._in_flight.inc()

    def request_finished(self, endpoint: str, model: str, status: int, seconds: float) -> None:
        self._in_flight.dec()
        self._requests.labels(endpoint=endpoint, model=model, status=status).inc()
        self._request_seconds.labels(endpoint=endpoint, model=model).observe(seconds)

    def request_refused(self, reason: str) -> None:
        self._refused.labels(reason=reason).inc()

    # Batches: the scheduler's observer.

    def batch_finished(self, batch: FinishedBatch) -> None:
        labels = {"model": batch.model, "bucket": batch.bucket}
        tokens = sum(batch.lengths)
        self._tokens.labels(**labels).inc(tokens)
        self._padding.labels(**labels).inc(batch.bucket * len(batch.lengths) - tokens)
        self._batch_size.labels(**labels).observe(len(batch.lengths))
        self._inference_seconds.labels(**labels).observe(batch.inference_seconds)
        self._predicted_seconds.labels(**labels).inc(batch.predicted_seconds)
        self._cost_ratio.labels(**labels).observe(batch.inference_seconds / batch.predicted_seconds)
        waited = self._queue_seconds.labels(**labels)
        for seconds in batch.queue_seconds:
            waited.observe(seconds)

    def batch_failed(self, model: str, bucket: int) -> None:
        self._batch_failures.labels(model=model, bucket=bucket).inc()

    def batch_split(self, model: str, bucket: int, reason: SplitReason) -> None:
        self._splits.labels(model=model, bucket=bucket, reason=reason).inc()

    def run_terminated(self, model: str, bucket: int) -> None:
        self._terminated.labels(model=model, bucket=bucket).inc()

    def item_dropped(self, model: str, bucket: int, reason: DropReason) -> None:
        self._dropped.labels(model=model, bucket=bucket, reason=reason).inc()


def service_version() -> str:
    """Return the installed version, or `unknown` when run from a checkout that was not installed."""
    try:
        return version("bigbird-serve")
    except PackageNotFoundError:
        return "unknown"
