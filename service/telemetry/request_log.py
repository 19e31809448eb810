"""The one log line of a request."""

import logging

from service.telemetry.log_formats import with_fields
from service.telemetry.request_record import RequestRecord


def log_request(logger: logging.Logger, level: int, record: RequestRecord) -> None:
    """Write a finished request's line.

    The message says what, and how it ended; the rest are fields. Stages are those of the document that ended last, and
    together with each other the request's duration; a request that was not answered has those that it passed.
    """
    if not logger.isEnabledFor(level):
        return
    accepted = bool(record.items)
    stages = {f"{stage}_ms": _milliseconds(seconds) for stage, seconds in record.stages.seconds.items()}
    logger.log(
        level,
        "%s %s %d",
        record.method,
        record.endpoint,
        record.status,
        extra=with_fields(
            request_id=record.request_id,
            trace_id=record.trace_id,
            method=record.method,
            endpoint=record.endpoint,
            key=record.key,
            model=record.model or None,
            status=record.status,
            refused=record.refused,
            items=len(record.items) if accepted else None,
            windows=sum(item.windows for item in record.items) if accepted else None,
            tokens=sum(item.tokens for item in record.items) if accepted else None,
            buckets=record.buckets if accepted else None,
            duration_ms=_milliseconds(record.seconds),
            **stages,
        ),
    )


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
