"""A process of its own for whatever is measured: its memory is its own, and it computes only when it is asked to."""

import multiprocessing
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any


class WorkerFailed(Exception):
    """The process ended, or what it was asked to do raised; the message holds its traceback."""


class Worker:
    """Makes an object in a new process and calls its methods, one at a time.

    Args:
        name: For messages.
        make: Makes the object; a module's function or class, so that the process can find it.
        arguments: Of `make`.
    """

    def __init__(self, name: str, make: Callable[..., object], *arguments: object) -> None:
        self.name = name
        # Forked from a process that imported what is needed and did nothing else: importing takes seconds, and a fork
        # of this process would inherit its threads.
        context = multiprocessing.get_context("forkserver")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, arguments), name=name, daemon=True)
        self._process.start()
        theirs.close()

    def wait_until_made(self) -> None:
        """Return when the object is there."""
        self._receive()

    def call(self, method: str, *arguments: object) -> Any:
        """Return what the method returns."""
        self._connection.send((method, arguments))
        return self._receive()

    def _receive(self) -> Any:
        try:
            failure, value = self._connection.recv()
        except EOFError:
            self._process.join()
            raise WorkerFailed(f"{self.name}: the process ended with status {self._process.exitcode}") from None
        if failure is not None:
            raise WorkerFailed(f"{self.name}: {failure}")
        return value

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._process.join()


def _serve(connection: Connection, make: Callable[..., object], arguments: tuple[object, ...]) -> None:
    """Answer with (traceback, None) or (None, value) until nobody asks any more."""
    # Peers warn about themselves; what matters here are their times.
    warnings.simplefilter("ignore")
    try:
        made = make(*arguments)
        connection.send((None, None))
        while True:
            method, call_arguments = connection.recv()
            connection.send((None, getattr(made, method)(*call_arguments)))
    except (EOFError, BrokenPipeError):
        pass
    except Exception:
        connection.send((traceback.format_exc(), None))
