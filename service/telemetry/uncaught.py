"""What Python itself would print, as log lines like any other: uncaught exceptions, warnings, unwritable lines.

Left to itself it prints tracebacks with files' paths and exceptions' messages, past the log's formats.
"""

import logging
import sys
import threading
import warnings
from types import TracebackType

logger = logging.getLogger(__name__)


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
