"""Traces of requests and batches: off, or OpenTelemetry, which is imported only then."""

from collections.abc import Iterable
from typing import Protocol

from bigbird_inference.extras import install_command
from service.batching.observer import FinishedBatch
from service.settings import InvalidSettings, Settings, environment_name
from service.telemetry.request_record import RequestRecord


class Tracing(Protocol):
    """Hears of requests and batches; called on the event loop."""

    def start(self) -> None:
        """Begin to export."""
        ...

    def close(self) -> None:
        """Export what is left, and end; may block for seconds."""
        ...

    def request_started(self, record: RequestRecord, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Begin a request's span, in the trace that its headers name; sets the record's `trace_id` and `span`."""
        ...

    def request_finished(self, record: RequestRecord) -> None:
        """End a request's span, with a span for each stage."""
        ...

    def batch_finished(self, batch: FinishedBatch) -> None:
        """Write a batch's span, linked with those of its requests; the batch's `traces` are their records."""
        ...


class NoTracing:
    """Tracing that is off."""

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def request_started(self, record: RequestRecord, headers: Iterable[tuple[bytes, bytes]]) -> None:
        pass

    def request_finished(self, record: RequestRecord) -> None:
        pass

    def batch_finished(self, batch: FinishedBatch) -> None:
        pass


def create_tracing(settings: Settings) -> Tracing:
    """Return the tracing that the settings ask for; it begins when it is started.

    Raises:
        InvalidSettings: Tracing is on, but its packages are missing, or the environment asks for another exporter.
    """
    if not settings.tracing:
        return NoTracing()
    try:
        from service.telemetry.opentelemetry_tracing import OpenTelemetryTracing, unsupported_exporter
    except ModuleNotFoundError as error:
        raise InvalidSettings(
            f"{environment_name('tracing')}: tracing needs the extra `tracing` (there is no module {error.name}): "
            f"{install_command('tracing')}"
        ) from error
    problem = unsupported_exporter()
    if problem is not None:
        raise InvalidSettings(problem)
    return OpenTelemetryTracing()
