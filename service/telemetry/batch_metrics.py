"""Metrics of batches: what ran, what it cost, what failed, and what left a queue without running."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from service.batching.observer import DropReason, FinishedBatch, SplitReason
from service.telemetry.stages import SECONDS, StageMetrics, series_of

_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
# Actual over predicted time of a run: 1 is a perfect prediction.
_COST_RATIOS = (0.25, 0.5, 0.67, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 4.0)
_DROP_REASONS: tuple[DropReason, ...] = ("cancelled", "expired", "unreachable")
_SPLIT_REASONS: tuple[SplitReason, ...] = ("out_of_memory", "failure")


class BatchMetrics:
    """Counts batches by model and bucket; a `service.batching.observer.BatchObserver`.

    Args:
        registry: Where the metrics are registered.
        stages: Receives the stages that a batch's windows share.
    """

    def __init__(self, registry: CollectorRegistry, stages: StageMetrics) -> None:
        self._stages = stages
        bucket = ["model", "bucket"]
        self._tokens = series_of(Counter("bigbird_tokens", "Real tokens that were run.", bucket, registry=registry))
        self._computed = series_of(
            Counter("bigbird_computed_tokens", "Tokens that were run, padding included.", bucket, registry=registry)
        )
        self._size = series_of(
            Histogram("bigbird_batch_size", "Windows in a batch.", bucket, buckets=_BATCH_SIZES, registry=registry)
        )
        self._seconds = series_of(
            Histogram(
                "bigbird_batch_duration_seconds",
                "Time that a batch took of the device's thread: put together and run.",
                bucket,
                buckets=SECONDS,
                registry=registry,
            )
        )
        self._cost_ratio = series_of(
            Histogram(
                "bigbird_run_cost_ratio",
                "Duration of a batch, over what the cost model predicted.",
                bucket,
                buckets=_COST_RATIOS,
                registry=registry,
            )
        )
        self._predicted_seconds = series_of(
            Counter(
                "bigbird_predicted_seconds", "What the cost model predicted of all batches.", bucket, registry=registry
            )
        )
        self._busy_seconds = series_of(
            Counter(
                "bigbird_executor_busy_seconds",
                "Time in which a device's thread put batches together and ran them; runs that failed or were ended are "
                "not in it.",
                ["device"],
                registry=registry,
            )
        )
        self._failures = series_of(Counter("bigbird_batch_failures", "Runs that failed.", bucket, registry=registry))
        self._splits = series_of(
            Counter(
                "bigbird_batch_splits",
                "Runs that failed and were tried again in two halves.",
                [*bucket, "reason"],
                registry=registry,
            )
        )
        self._terminated = series_of(
            Counter(
                "bigbird_terminated_runs",
                "Runs that were ended because nobody waited for them any more.",
                bucket,
                registry=registry,
            )
        )
        self._dropped = series_of(
            Counter(
                "bigbird_dropped_windows",
                "Windows that left a queue without running: the client had gone, or the deadline had passed or was out "
                "of reach.",
                [*bucket, "reason"],
                registry=registry,
            )
        )

    def declare(self, model: str, bucket: int) -> None:
        """Create a bucket's series."""
        for counter in (self._tokens, self._computed, self._predicted_seconds, self._failures, self._terminated):
            counter(model, bucket)
        for histogram in (self._size, self._seconds, self._cost_ratio):
            histogram(model, bucket)
        for drop_reason in _DROP_REASONS:
            self._dropped(model, bucket, drop_reason)
        for split_reason in _SPLIT_REASONS:
            self._splits(model, bucket, split_reason)

    def declare_device(self, device: str) -> None:
        """Create a device's series."""
        self._busy_seconds(device)

    def batch_finished(self, batch: FinishedBatch) -> None:
        key = (batch.model, batch.bucket)
        windows = len(batch.lengths)
        self._tokens(*key).inc(sum(batch.lengths))
        self._computed(*key).inc(batch.bucket * windows)
        self._size(*key).observe(windows)
        self._seconds(*key).observe(batch.seconds)
        self._cost_ratio(*key).observe(batch.seconds / batch.predicted_seconds)
        self._predicted_seconds(*key).inc(batch.predicted_seconds)
        self._busy_seconds(batch.device).inc(batch.seconds)
        for waited in batch.queue_seconds:
            self._stages.observe("queue", *key, waited)
        self._stages.observe("collate", *key, batch.collate_seconds, times=windows)
        self._stages.observe("inference", *key, batch.inference_seconds, times=windows)

    def batch_failed(self, model: str, bucket: int) -> None:
        self._failures(model, bucket).inc()

    def batch_split(self, model: str, bucket: int, reason: SplitReason) -> None:
        self._splits(model, bucket, reason).inc()

    def run_terminated(self, model: str, bucket: int) -> None:
        self._terminated(model, bucket).inc()

    def item_dropped(self, model: str, bucket: int, reason: DropReason) -> None:
        self._dropped(model, bucket, reason).inc()
