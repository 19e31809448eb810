"""Metrics of keys: who uses the service, and how often somebody was turned away."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter

from service.telemetry.request_record import RequestRecord

UNKNOWN = ""
"""The label of requests without a known key."""


class KeyMetrics:
    """Counts the requests of each key, and those that were refused for want of one.

    The label is a name from the configuration or empty, never what a client sent.

    Args:
        registry: Where the metrics are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "bigbird_key_requests",
            "Requests by the name of their key; those with an empty name were refused for want of a known one.",
            ["key", "status"],
            registry=registry,
        )
        self._requests.labels(UNKNOWN, 401)

    def declare(self, names: Iterable[str]) -> None:
        """Create the series of known keys."""
        for name in names:
            self._requests.labels(name, 200)

    def finished(self, record: RequestRecord) -> None:
        """Count a request that has ended, unless it had no key and needed none."""
        if record.key is not None:
            self._requests.labels(record.key, record.status).inc()
        elif record.status == 401:
            self._requests.labels(UNKNOWN, 401).inc()
