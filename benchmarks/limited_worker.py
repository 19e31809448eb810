"""A process that is not waited for without end: what is stuck in a compiler or a driver fails alone."""

import re
from collections.abc import Callable
from types import TracebackType
from typing import Any

from benchmarks.worker import Worker, WorkerFailed

_ENDING_SECONDS = 10.0
# Of a reason in a table; the whole of it was printed.
_LONGEST = 300
_RAISED = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Failed|Wrong\w*|Unavailable|Unsupported)\b.*$", re.MULTILINE)


class LimitedWorker(Worker):
    """A worker whose answers must come in time; it can be asked now and heard later.

    Args:
        name: For messages.
        answer_seconds: How long an answer may take.
        make: Makes the object; a module's function or class.
        arguments: Of `make`.
    """

    def __init__(self, name: str, answer_seconds: float, make: Callable[..., object], *arguments: object) -> None:
        self.answer_seconds = answer_seconds
        super().__init__(name, make, *arguments)

    def ask(self, method: str, *arguments: object) -> None:
        """Begin a call; several workers that were asked work at the same time."""
        try:
            self._connection.send((method, arguments))
        except OSError as error:
            raise WorkerFailed(f"{self.name}: the process has ended: {error}") from error

    def answer(self) -> Any:
        """Return what the method returned."""
        return self._receive()

    def call(self, method: str, *arguments: object) -> Any:
        self.ask(method, *arguments)
        return self.answer()

    def _receive(self) -> Any:
        if not self._connection.poll(self.answer_seconds):
            self._process.kill()
            raise WorkerFailed(f"{self.name}: no answer in {self.answer_seconds:.0f} s")
        try:
            return super()._receive()
        except OSError as error:
            raise WorkerFailed(f"{self.name}: the process has ended: {error}") from error

    def __enter__(self) -> "LimitedWorker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._process.join(_ENDING_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def reason(error: BaseException) -> str:
    """Return one line that says what failed; of a worker's traceback the last line with an error's class."""
    raised: list[str] = _RAISED.findall(str(error))
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    if raised:
        line = raised[-1]
    elif isinstance(error, WorkerFailed):
        line = first
    else:
        line = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."
