"""Metrics of models that come and go: what state each is in, and what was changed."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, Metric

_STATES = ("loading", "ready", "unloading", "failed")
_CHANGES = ("load", "unload", "reload")
_OUTCOMES = ("success", "failure")


class NamedState(Protocol):
    """A model's name, and one of the states."""

    @property
    def name(self) -> str:
        """The model."""
        ...

    @property
    def state(self) -> str:
        """Its state."""
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
        """Return the family of states without samples."""
        return [_family()]

    def collect(self) -> Iterable[Metric]:
        """Return the states as they are now."""
        family = _family()
        for model in self._read():
            for state in _STATES:
                family.add_metric([model.name, state], float(model.state == state))
        return [family]


def _family() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "bigbird_model_state",
        "1 for the state that a model is in: loading, ready, unloading or failed.",
        labels=["model", "state"],
    )
