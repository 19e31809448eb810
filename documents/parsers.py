"""Files parsed in processes of their own, which are ended and replaced when they crash, hang or take too much."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast

from documents.document import Document, Mark
from documents.errors import DocumentError
from documents.limits import Limits
from documents.reading import Kind, read_document
from documents.wire import NOT_A_MESSAGE, document_of, mark_messages, receive, send

# A process whose output has ended is about to end, and its status says why.
_LAST_SECONDS = 5.0
# A process that works gets at least this share of a core.
_LEAST_SHARE = 0.25
# Python starts in less than one, on a machine that has time.
_START_SECONDS = 120.0


class Parsers:
    """Reads documents in processes of their own, as many at once as there are processes.

    A process is started when it is first needed. All have ended when the block that uses them ends, or when nothing
    uses them any more; if this process is killed, they end by themselves.

    Pickled, it is its limits and their number.

    Args:
        limits: Of each file.
        processes: How many there are at most.
    """

    def __init__(self, limits: Limits, processes: int = 1) -> None:
        self.limits = limits
        self._count = processes
        # The last one that was used is the next: what runs already is warm.
        self._free: queue.LifoQueue[_ParserProcess] = queue.LifoQueue()
        everyone = [_ParserProcess(limits) for _ in range(processes)]
        for process in everyone:
            self._free.put(process)
        self._end_processes = weakref.finalize(self, _end_all, everyone)
        self._threads = ThreadPoolExecutor(processes, "parser")

    def __reduce__(self) -> tuple[type["Parsers"], tuple[Limits, int]]:
        """Become parsers with processes of their own where this is unpickled."""
        return Parsers, (self.limits, self._count)

    def __enter__(self) -> "Parsers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes; what was not finished raises."""
        self._end_processes()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def submit(self, source: Path | bytes, kind: Kind) -> "Future[Document]":
        """Read a document as soon as a process is free.

        Args:
            source: The file, or what is in it.
            kind: What it is.

        Returns:
            The document; or `DocumentError` if it cannot be read.
        """
        return self._threads.submit(self._read, source, kind)

    def read(self, source: Path | bytes, kind: Kind) -> Document:
        """Read a document now.

        Raises:
            DocumentError: It cannot be read.
        """
        return self.submit(source, kind).result()

    def submit_highlight(self, source: Path | bytes, marks: Sequence[Mark]) -> "Future[bytes]":
        """Make a copy of a PDF in which passages are marked.

        Returns:
            The copy; or `DocumentError` if there is none.
        """
        return self._threads.submit(self._highlight, source, marks)

    def _read(self, source: Path | bytes, kind: Kind) -> Document:
        if kind == "text":
            return read_document(source, kind, self.limits)
        answer = self._ask({"kind": kind, "marks": None}, source)
        try:
            return document_of(*answer)
        except NOT_A_MESSAGE:
            raise DocumentError("its parser gave no document; save it again in a viewer") from None

    def _highlight(self, source: Path | bytes, marks: Sequence[Mark]) -> bytes:
        return self._ask({"kind": "pdf", "marks": mark_messages(marks)}, source)[1]

    def _ask(self, request: dict[str, Any], source: Path | bytes) -> tuple[dict[str, Any], bytes]:
        process = self._free.get()
        try:
            return process.ask(request, source)
        finally:
            self._free.put(process)


def _end_all(processes: "Sequence[_ParserProcess]") -> None:
    for process in processes:
        process.end()


class _ParserProcess:
    """A process that parses one file after the other."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False
        self._lock = threading.Lock()

    def ask(self, request: dict[str, Any], source: Path | bytes) -> tuple[dict[str, Any], bytes]:
        """Send a request about a file and wait for the answer.

        Raises:
            DocumentError: The file cannot be read.
        """
        process, started = self._running()
        path, content = (os.fsencode(source.absolute()).hex(), b"") if isinstance(source, Path) else (None, source)
        answer, late = None, threading.Event()
        with contextlib.suppress(OSError), _killed_after(process, _START_SECONDS, late):
            if started:
                receive(cast(BinaryIO, process.stdout))
        with contextlib.suppress(OSError), _killed_after(process, self._limits.seconds / _LEAST_SHARE, late):
            send(cast(BinaryIO, process.stdin), {**request, "path": path, "limits": asdict(self._limits)}, content)
            answer = receive(cast(BinaryIO, process.stdout))
        if answer is None:
            status = self._replace(process)
            raise DocumentError(self._what_happened(late.is_set(), status))
        if "error" in answer[0]:
            raise DocumentError(answer[0]["error"])
        return answer

    def _what_happened(self, late: bool, status: int) -> str:
        if late or status == -signal.SIGXCPU:
            return f"not parsed after {self._limits.seconds:g} s; split it, or raise --max-seconds-a-file"
        how = f"signal {-status}" if status < 0 else f"status {status}"
        return (
            f"its parser crashed ({how}): it is broken, or takes more than {self._limits.memory_megabytes:,} MB of "
            "memory; save it again in a viewer, or split it"
        )

    def _running(self) -> "tuple[subprocess.Popen[bytes], bool]":
        """Return the process, and whether it has just been started."""
        with self._lock:
            if self._ended:
                raise DocumentError("not parsed, because the job was ended; run it again")
            started = self._process is None
            if self._process is None:
                # What is imported there is what is imported here, wherever that lies.
                paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "documents.parser_process", str(self._limits.memory_megabytes)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    # Threads that nothing needs would take address space.
                    env=os.environ | {"PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"},
                    # An interruption from the keyboard is for the process that asks.
                    start_new_session=True,
                )
            return self._process, started

    def _replace(self, process: "subprocess.Popen[bytes]") -> int:
        """End the process; the next request starts another. Return its status."""
        with self._lock:
            self._process = None
        return _stop(process, _LAST_SECONDS)

    def end(self) -> None:
        """End the process for good."""
        with self._lock:
            self._ended = True
            process, self._process = self._process, None
        if process is not None:
            _stop(process)


@contextlib.contextmanager
def _killed_after(process: "subprocess.Popen[bytes]", seconds: float, late: threading.Event) -> Iterator[None]:
    """Kill a process, and set an event, if a block takes longer than it may."""

    def kill() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _stop(process: "subprocess.Popen[bytes]", patience: float = 0.0) -> int:
    """Stop a process and return its status: its own, if it ends by itself within so many seconds."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    process.kill()
    status = process.wait()
    for stream in (process.stdin, process.stdout):
        # What was not sent is lost with the process.
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    return status
