"""Log lines for machines and for people: JSON, one object on each line, or text.

A record's own values travel under one name, `fields`. Texts of users must never reach the log, and an exception raised
while one was at hand may quote it: of an exception that is not an error of our own, a line tells the types and the
places in the code (modules, no files), and its message only if the logger belongs to a part that never holds a text.
What Python itself would print (uncaught exceptions, warnings) takes the same way.
"""

import json
import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from bigbird_inference.errors import BundleError, ServiceError
from service.settings import LogFormat
from service.telemetry.request_record import RequestRecord

logger = logging.getLogger(__name__)


# They see ids, files and settings, but no text.
_TEXTLESS = (
    "service.batching",
    "service.models.loading",
    "bigbird_inference.runtime",
    "service.process.server",
    "service.process.stop_signals",
    "service.serving",
    "service.shutdown",
)
# Their messages are written for the public.
_PUBLIC_ERRORS = (ServiceError, BundleError)


def with_fields(**fields: Any) -> dict[str, Any]:
    """Return the `extra` of a log call that puts values into the line; None is left out."""
    return {"fields": {name: value for name, value in fields.items() if value is not None}}


def line_format(log_format: LogFormat, terminal: bool) -> logging.Formatter:
    """Return what makes a line of a record; `auto` means text on a terminal and JSON everywhere else."""
    text = log_format == "text" or (log_format == "auto" and terminal)
    return TextLines() if text else JsonLines()


class JsonLines(logging.Formatter):
    """One JSON object: `time` (UTC), `level`, `logger`, `message`, the record's fields, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message_of(record),
            **getattr(record, "fields", {}),
        }
        exception = _exception_of(record)
        if exception is not None:
            line["exception"] = exception
        # Escaped to ASCII: no character can end the line or upset a terminal.
        return json.dumps(line)


class TextLines(logging.Formatter):
    """The local time, the level, the message and the fields; an exception follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        fields = "".join(f" {name}={_value_text(value)}" for name, value in getattr(record, "fields", {}).items())
        exception = _exception_of(record)
        lines = [f"{time} {record.levelname:<8} {_message_of(record)}{fields}"]
        return "\n".join(lines if exception is None else [*lines, exception])


def _value_text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _message_of(record: logging.LogRecord) -> str:
    message = record.getMessage()
    # asyncio shows the failed task below, with its exception.
    return message.partition("\n")[0] if record.name == "asyncio" else message


def _exception_of(record: logging.LogRecord) -> str | None:
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return None
    textless = any(record.name == part or record.name.startswith(f"{part}.") for part in _TEXTLESS)
    return "\nthen\n".join(_told(link, textless) for link in reversed(list(_chain(error))))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Go from an exception to what caused it."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _told(error: BaseException, textless: bool) -> str:
    """Return an exception's type, its message if it can quote no text, and the places that it went through."""
    kind = type(error)
    told = textless or isinstance(error, _PUBLIC_ERRORS)
    message = str(error) if told else "(its message is left out: it may quote a text)"
    places = [
        f"  {frame.f_globals.get('__name__', '?')}:{line} in {frame.f_code.co_name}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    return "\n".join([f"{kind.__module__}.{kind.__qualname__}: {message}", *places])


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
            dialect=record.dialect,
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


def log_what_python_would_print() -> None:
    """Send it all to the log, for the rest of the process."""
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable
    warnings.formatwarning = _warning
    logging.captureWarnings(True)
    # Otherwise a value that a format cannot write is printed, with a traceback.
    logging.raiseExceptions = False


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        logger.critical("uncaught exception", exc_info=(kind, error, trace))


def _uncaught_in_thread(failure: threading.ExceptHookArgs) -> None:
    if failure.exc_value is not None and not isinstance(failure.exc_value, SystemExit):
        name = failure.thread.name if failure.thread else "unknown"
        logger.critical("uncaught exception in the thread %s", name, exc_info=failure.exc_value)


def _unraisable(failure: "sys.UnraisableHookArgs") -> None:
    logger.error("an exception could not be raised", exc_info=failure.exc_value)


def _warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return f"{category.__name__}: {message}"
