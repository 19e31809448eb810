"""Metrics of connections: how many are open, and how many the server ended."""

from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

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
