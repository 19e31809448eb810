"""Metrics of the server's state: queues, devices, readiness, models that come and go, connections, the log."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from bigbird_inference.manifest import Manifest
from bigbird_inference.version import service_version


@dataclass(frozen=True, slots=True)
class _Described:
    """What was said of a model: the labels of its description, and its buckets."""

    labels: Sequence[str]
    buckets: Sequence[int]


class StateMetrics:
    """Shows the state of the service.

    Args:
        registry: Where the metrics are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        bucket = ["model", "bucket"]
        self._queue_depth = Gauge("bigbird_queue_depth", "Windows that wait.", bucket, registry=registry)
        self._queue_age = Gauge(
            "bigbird_queue_oldest_age_seconds",
            "How long the window that waits longest has waited; 0 if none waits.",
            bucket,
            registry=registry,
        )
        self._queued_tokens = Gauge("bigbird_queued_tokens", "Real tokens that wait.", registry=registry)
        self._ready = Gauge("bigbird_ready", "1 if requests are accepted.", registry=registry)
        self._degraded = Gauge(
            "bigbird_degraded", "1 if the CPU serves although there is a GPU to be used.", registry=registry
        )
        self._alive = Gauge("bigbird_executor_alive", "1 if the device's thread lives.", ["device"], registry=registry)
        self._stuck = Gauge(
            "bigbird_executor_stuck",
            "1 if the device's run takes so much longer than predicted that it may never end.",
            ["device"],
            registry=registry,
        )
        self._device = Gauge(
            "bigbird_device_info", "A device that runs batches.", ["device", "name"], registry=registry
        )
        self._model = Gauge(
            "bigbird_model_info",
            "A loaded model.",
            ["model", "task", "pattern", "precision", "source_sha256", "revision"],
            registry=registry,
        )
        self._weights = Gauge("bigbird_model_weights_bytes", "Size of a model's weights.", ["model"], registry=registry)
        self._described: dict[str, _Described] = {}
        build = Gauge("bigbird_build_info", "The running version.", ["version"], registry=registry)
        build.labels(service_version()).set(1)

    def declare_model(self, name: str, manifest: Manifest, weights_bytes: int, revision: str) -> None:
        """Describe a loaded model, in place of the version before it."""
        self.forget_model(name)
        labels = (name, manifest.task, manifest.pattern, manifest.precision, manifest.source.sha256, revision)
        self._described[name] = _Described(labels, [bucket.length for bucket in manifest.buckets])
        self._model.labels(*labels).set(1)
        self._weights.labels(name).set(weights_bytes)

    def forget_model(self, name: str) -> None:
        """Take back what describes a model."""
        described = self._described.pop(name, None)
        if described is None:
            return
        self._model.remove(*described.labels)
        self._weights.remove(name)
        for gauge in (self._queue_depth, self._queue_age):
            for bucket in described.buckets:
                gauge.remove(name, bucket)

    def watch_queue(self, model: str, bucket: int, depth: Callable[[], float], oldest_age: Callable[[], float]) -> None:
        """Read a queue whenever the metrics are collected."""
        self._queue_depth.labels(model, bucket).set_function(depth)
        # Collected on another thread: a window may arrive in between, from the future.
        self._queue_age.labels(model, bucket).set_function(lambda: max(oldest_age(), 0.0))

    def watch_service(
        self, queued_tokens: Callable[[], float], ready: Callable[[], float], degraded: Callable[[], float]
    ) -> None:
        """Read the service's state whenever the metrics are collected."""
        self._queued_tokens.set_function(queued_tokens)
        self._ready.set_function(ready)
        self._degraded.set_function(degraded)

    def watch_device(self, name: str, description: str, alive: Callable[[], float], stuck: Callable[[], float]) -> None:
        """Describe a device, and read its state whenever the metrics are collected."""
        self._device.labels(name, description).set(1)
        self._alive.labels(name).set_function(alive)
        self._stuck.labels(name).set_function(stuck)


_STATES = ("loading", "ready", "unloading", "failed")
_CHANGES = ("load", "unload", "reload")
_OUTCOMES = ("success", "failure")


class NamedState(Protocol):
    """A model's name, one of the states, and why its last change failed."""

    @property
    def name(self) -> str:
        """The model."""
        ...

    @property
    def state(self) -> str:
        """Its state."""
        ...

    @property
    def failure(self) -> str | None:
        """Why its last change failed, or None if it did not."""
        ...


class ModelMetrics:
    """A counter of changes, and a collector of the models' states.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._read: Callable[[], Sequence[NamedState]] = lambda: ()
        self._changes = Counter(
            "bigbird_model_changes",
            "Models that were loaded, unloaded or reloaded while serving, or failed to be.",
            ["model", "change", "outcome"],
            registry=registry,
        )
        registry.register(self)

    def declare(self, model: str) -> None:
        """Create a model's series."""
        for change in _CHANGES:
            for outcome in _OUTCOMES:
                self._changes.labels(model, change, outcome)

    def changed(self, model: str, change: str, outcome: str) -> None:
        """Count a change."""
        self.declare(model)
        self._changes.labels(model, change, outcome).inc()

    def watch(self, read: Callable[[], Sequence[NamedState]]) -> None:
        """Read the states whenever the metrics are collected."""
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Return the families of states and failures without samples."""
        return _families()

    def collect(self) -> Iterable[Metric]:
        """Return the states and failures as they are now."""
        states, failures = _families()
        for model in self._read():
            for state in _STATES:
                states.add_metric([model.name, state], float(model.state == state))
            failures.add_metric([model.name], float(model.failure is not None))
        return states, failures


def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    states = GaugeMetricFamily(
        "bigbird_model_state",
        "1 for the state that a model is in: loading, ready, unloading or failed.",
        labels=["model", "state"],
    )
    failures = GaugeMetricFamily(
        "bigbird_model_change_failed",
        "1 if the last load, reload or unload of a model failed; 0 again once one succeeds.",
        labels=["model"],
    )
    return states, failures


EndReason = Literal[
    "malformed", "header_timeout", "header_size", "pipelining", "too_many", "idle", "body_timeout", "write_timeout"
]


class ConnectionMetrics:
    """Counts connections.

    Args:
        registry: Where the metrics are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._open = Gauge("bigbird_connections", "Open connections.", registry=registry)
        self._ended = Counter(
            "bigbird_ended_connections",
            "Connections that the server ended although their clients would have kept them.",
            ["reason"],
            registry=registry,
        )
        for reason in get_args(EndReason):
            self._ended.labels(reason)

    def opened(self) -> None:
        self._open.inc()

    def closed(self) -> None:
        self._open.dec()

    def ended(self, reason: EndReason) -> None:
        self._ended.labels(reason).inc()


class LogMetrics:
    """A collector of lines that are missing in the log.

    Args:
        registry: Where it is registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._dropped: Callable[[], int] = lambda: 0
        registry.register(self)

    def watch(self, dropped: Callable[[], int]) -> None:
        """Read the number whenever the metrics are collected."""
        self._dropped = dropped

    def collect(self) -> Iterable[Metric]:
        """Return the number as it is now."""
        yield CounterMetricFamily(
            "bigbird_dropped_log_lines",
            "Lines of the log that were never written: nobody read it fast enough, or it could not be written to.",
            value=self._dropped(),
        )
