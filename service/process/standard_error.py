"""Standard error of the server: nobody who writes to it waits for whoever reads it.

    loggers ──────────────────────> LogWriter: a bounded queue ──> its thread ──> standard error as it was given
    libraries, to descriptor 2 ──> a pipe ──> a thread that logs each line

A pipe that nobody reads, a terminal that is held, a socket of a journal that hangs: only the writing thread waits for
them. Lines that find no room in the queue are dropped, counted, and told of where they would have stood. What native
libraries print goes the same way, so that every line has the log's form, and so that they do not wait either; on a
terminal they keep it to themselves.
"""

import faulthandler
import logging
import os
import re
import select
import threading
from collections import deque
from collections.abc import Callable
from functools import partial

from service.settings import LogFormat
from service.telemetry.logs import line_format, log_what_python_would_print

logger = logging.getLogger(__name__)

MAX_WAITING_BYTES = 4 * 2**20
# Beyond that, for lines that tell why the process ends.
_CRITICAL_BYTES = 2**16
_WRITTEN_AT_ONCE = 2**16
# How long the end of the process waits for lines to be written, and whoever says something critical.
_LAST_SECONDS = 2.0
_CRITICAL_SECONDS = 0.2

_STANDARD_ERROR = 2
_LONGEST_NATIVE_LINE = 4096
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class LogWriter(logging.Handler):
    """Writes lines on a thread of its own, in the order in which they were logged.

    Args:
        descriptor: Where to write; nothing else closes it.
        max_bytes: How much may wait.
        before_close: Called when the process ends, before the last lines are waited for.

    Attributes:
        dropped: How many lines were never written.
    """

    def __init__(
        self, descriptor: int, max_bytes: int = MAX_WAITING_BYTES, before_close: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__()
        self.dropped = 0
        self._descriptor = descriptor
        self._max_bytes = max_bytes
        self._before_close = before_close
        # Its lock is reentrant: a signal or the garbage collector may log in the midst of logging.
        self._changed = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._gap = 0
        self._accepted = 0
        self._done = 0

    def createLock(self) -> None:
        """Have none: the queue's own is held for no longer than a line takes to join it."""
        self.lock = None

    def start(self) -> None:
        """Begin to write. The thread does not keep the process alive: it may be stuck for ever."""
        threading.Thread(target=self._write_lines, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line, or drop it; after a critical one the process may end at any moment, so it is waited for."""
        critical = record.levelno >= logging.CRITICAL
        try:
            line = self._line(record)
        except Exception:
            self.handleError(record)
            return
        with self._changed:
            if self._bytes + len(line) > self._max_bytes + critical * _CRITICAL_BYTES:
                self.dropped += 1
                self._gap += 1
                return
            self._tell_gap()
            self._add(line)
        if critical:
            self._wait_until_written(_CRITICAL_SECONDS)

    def close(self) -> None:
        """Wait for what is queued, if it is written soon."""
        self._before_close()
        with self._changed:
            self._tell_gap()
        self._wait_until_written(_LAST_SECONDS)
        super().close()

    def _line(self, record: logging.LogRecord) -> bytes:
        return f"{self.format(record)}\n".encode("utf-8", "backslashreplace")

    def _add(self, line: bytes) -> None:
        self._lines.append(line)
        self._bytes += len(line)
        self._accepted += 1
        self._changed.notify_all()

    def _tell_gap(self) -> None:
        """Put a line where others were dropped."""
        if self._gap:
            message = "%d lines are missing here: the log was not read fast enough"
            record = logger.makeRecord(logger.name, logging.WARNING, __file__, 0, message, (self._gap,), None)
            self._gap = 0
            self._add(self._line(record))

    def _wait_until_written(self, seconds: float) -> None:
        with self._changed:
            accepted = self._accepted
            self._changed.wait_for(lambda: self._done >= accepted, seconds)

    def _write_lines(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines)
                lines = [self._lines.popleft()]
                size = len(lines[0])
                while self._lines and size + len(self._lines[0]) <= _WRITTEN_AT_ONCE:
                    lines.append(self._lines.popleft())
                    size += len(lines[-1])
            try:
                self._write(b"".join(lines))
                lost = 0
            except OSError:  # nobody will read it, or the disk is full: the next lines may have more luck
                lost = len(lines)
            with self._changed:
                self.dropped += lost
                self._bytes -= size
                self._done += len(lines)
                self._changed.notify_all()

    def _write(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # whoever shares it has asked for that
                ready = select.poll()
                ready.register(self._descriptor, select.POLLOUT)
                ready.poll()


class NativeLines:
    """Makes what libraries write to descriptor 2 lines of the log.

    Args:
        descriptor: Standard error as it was given.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._thread = threading.Thread(target=self._log_lines, name="native log", daemon=True)
        self._pipe = -1

    def start(self) -> None:
        """Put a pipe in the place of descriptor 2."""
        self._pipe, writing = os.pipe()
        # Whoever writes may hold what the reading thread needs to go on, above all the interpreter.
        os.set_blocking(writing, False)
        os.dup2(writing, _STANDARD_ERROR)
        os.close(writing)
        if faulthandler.is_enabled():
            # Its lines come too late for any thread.
            faulthandler.enable(self._descriptor)
        self._thread.start()

    def stop(self) -> None:
        """Put standard error back in its place, and wait for what is in the pipe."""
        os.dup2(self._descriptor, _STANDARD_ERROR)
        # A child process may keep the pipe open.
        self._thread.join(_CRITICAL_SECONDS)

    def _log_lines(self) -> None:
        native = logging.getLogger("stderr")
        with open(self._pipe, "rb") as pipe:
            for line in iter(partial(pipe.readline, _LONGEST_NATIVE_LINE), b""):
                text = _COLOURS.sub("", line.decode("utf-8", "backslashreplace")).strip()
                if text:
                    native.warning("%s", text)


def start_log(level: str, log_format: LogFormat) -> LogWriter:
    """Send the log, what Python would print and what libraries print to standard error, for the rest of the process.

    Args:
        level: The least level that is written.
        log_format: `auto` means text on a terminal and JSON everywhere else.
    """
    _open_closed_streams()
    terminal = os.isatty(_STANDARD_ERROR)
    given = os.dup(_STANDARD_ERROR)
    native = None if terminal else NativeLines(given)
    writer = LogWriter(given, MAX_WAITING_BYTES, before_close=native.stop if native else lambda: None)
    writer.setFormatter(line_format(log_format, terminal))
    logging.basicConfig(level=level.upper(), handlers=[writer])
    log_what_python_would_print()
    writer.start()
    if native is not None:
        native.start()
    return writer


def _open_closed_streams() -> None:
    """Open what the process was started without (`2>&-`): a socket or a file would get its number, and its output."""
    for stream in (0, 1, 2):
        try:
            os.fstat(stream)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
