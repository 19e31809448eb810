"""Every metric of the service, in a registry that is passed in; docs/metrics.md lists them.

Labels are bounded: `model` is the name of a loaded bundle or empty (requests that never reached one), `endpoint` a
route of the application or `unmatched`, `device` one that was opened. Series exist at zero before the first request, so
that rates and alerts work from the start.
"""

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry

from bigbird_inference.manifest import Manifest
from service.batching.observer import DropReason, FinishedBatch, SplitReason
from service.telemetry.batch_metrics import BatchMetrics
from service.telemetry.gpu_metrics import FeatureState, GpuFeatureMetrics, GpuMetrics
from service.telemetry.request_metrics import KeyMetrics, RequestMetrics
from service.telemetry.request_record import ItemRecord, RequestRecord
from service.telemetry.stages import StageMetrics
from service.telemetry.state_metrics import ConnectionMetrics, LogMetrics, ModelMetrics, NamedState, StateMetrics


class Metrics:
    """Counts requests on one side and batches on the other; it is the scheduler's observer.

    Args:
        registry: Where the metrics are registered; one per application.
        on_batch: Hears of every batch that ran, too.
    """

    def __init__(
        self, registry: CollectorRegistry, on_batch: Callable[[FinishedBatch], None] = lambda batch: None
    ) -> None:
        self.registry = registry
        self._on_batch = on_batch
        self._stages = StageMetrics(registry)
        self._requests = RequestMetrics(registry, self._stages)
        self._keys = KeyMetrics(registry)
        self._batches = BatchMetrics(registry, self._stages)
        self._state = StateMetrics(registry)
        self._models = ModelMetrics(registry)
        self._log = LogMetrics(registry)
        self.connections = ConnectionMetrics(registry)
        self._gpus = GpuMetrics(registry)
        self._gpu_features = GpuFeatureMetrics(registry)

    # Set-up: every series at zero.

    def declare_model(self, name: str, manifest: Manifest, endpoint: str, weights_bytes: int, revision: str) -> None:
        """Create a loaded model's series, or describe another version of it."""
        self._models.declare(name)
        self._state.declare_model(name, manifest, weights_bytes, revision)
        self._requests.declare(endpoint, name)
        for bucket in manifest.buckets:
            self._batches.declare(name, bucket.length)
            self._stages.declare(name, bucket.length)

    def forget_model(self, name: str) -> None:
        """Describe a model no more; what was counted of it stays."""
        self._state.forget_model(name)

    def declare_keys(self, names: Iterable[str]) -> None:
        """Create the series of the keys that are known."""
        self._keys.declare(names)

    def watch_queue(self, model: str, bucket: int, depth: Callable[[], float], oldest_age: Callable[[], float]) -> None:
        """Read a queue's depth and age, in seconds, whenever the metrics are collected."""
        self._state.watch_queue(model, bucket, depth, oldest_age)

    def watch_models(self, states: Callable[[], Sequence[NamedState]]) -> None:
        """Read the models' states whenever the metrics are collected."""
        self._models.watch(states)

    def model_changed(self, model: str, change: str, outcome: str) -> None:
        """Count an attempt to change a model."""
        self._models.changed(model, change, outcome)

    def watch_service(
        self, queued_tokens: Callable[[], float], ready: Callable[[], float], degraded: Callable[[], float]
    ) -> None:
        """Read the service's state whenever the metrics are collected."""
        self._state.watch_service(queued_tokens, ready, degraded)

    def watch_device(self, name: str, description: str, alive: Callable[[], float], stuck: Callable[[], float]) -> None:
        """Create a device's series, and read its state whenever the metrics are collected."""
        self._state.watch_device(name, description, alive, stuck)
        self._batches.declare_device(name)
        self._gpus.watch(name)

    def watch_gpu_features(self, read: Callable[[], Iterable[FeatureState]]) -> None:
        """Read what became of the rungs on GPUs whenever the metrics are collected."""
        self._gpu_features.watch(read)

    def watch_log(self, dropped: Callable[[], int]) -> None:
        """Read how many lines of the log were dropped whenever the metrics are collected."""
        self._log.watch(dropped)

    # Requests.

    def request_started(self) -> None:
        self._requests.started()

    def request_refused(self, reason: str) -> None:
        self._requests.refused(reason)

    def request_admitted(self, endpoint: str, model: str, items: list[ItemRecord]) -> None:
        self._requests.admitted(endpoint, model, items)

    def item_answered(self, model: str, truncated_tokens: int) -> None:
        self._requests.answered(model, truncated_tokens)

    def request_finished(self, record: RequestRecord) -> None:
        self._requests.finished(record)
        self._keys.finished(record)

    # Batches: the scheduler's observer.

    def batch_finished(self, batch: FinishedBatch) -> None:
        self._batches.batch_finished(batch)
        self._on_batch(batch)

    def batch_failed(self, model: str, bucket: int) -> None:
        self._batches.batch_failed(model, bucket)

    def batch_split(self, model: str, bucket: int, reason: SplitReason) -> None:
        self._batches.batch_split(model, bucket, reason)

    def run_terminated(self, model: str, bucket: int) -> None:
        self._batches.run_terminated(model, bucket)

    def item_dropped(self, model: str, bucket: int, reason: DropReason) -> None:
        self._batches.item_dropped(model, bucket, reason)
