"""The one thread that runs a device's batches, and calls to it from the event loop as futures that always end.

A device runs one batch at a time, so one thread is all it needs; it keeps the event loop free while the device works.
Work catches its own failures. What still escapes (an exit request, an exhausted interpreter) ends the thread, and its
death is reported instead of leaving waiters behind.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from bigbird_inference.runtime.session import DeviceLost
from service.batching.unavailable import executor_stopped

logger = logging.getLogger(__name__)


class Executor(Protocol):
    """Runs pieces of work one after another, off the event loop."""

    @property
    def alive(self) -> bool:
        """Whether submitted work will be run."""
        ...

    def start(self, on_death: Callable[[], None]) -> None:
        """Begin; `on_death` is called, from any thread, if the executor ends without being stopped."""
        ...

    def submit(self, work: Callable[[], None]) -> None:
        """Queue a piece of work."""
        ...

    def stop(self) -> None:
        """End after the work that was submitted; returns at once."""
        ...


class ThreadExecutor:
    """An executor on a thread of its own.

    Args:
        name: The thread's name, as debuggers and logs give it.
    """

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._on_death: Callable[[], None] = lambda: None
        self._dead = False

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and not self._dead

    def start(self, on_death: Callable[[], None]) -> None:
        self._on_death = on_death
        self._thread.start()

    def submit(self, work: Callable[[], None]) -> None:
        self._work.put(work)

    def stop(self) -> None:
        self._work.put(None)

    def _run(self) -> None:
        try:
            while (work := self._work.get()) is not None:
                work()
                # While it waits for more, a model that has been given up must not live on in what ran last.
                del work
        except BaseException:
            logger.critical("the executor thread %s died", self._thread.name, exc_info=True)
            self._dead = True
            self._on_death()


ResultT = TypeVar("ResultT")


class ExecutorCalls:
    """Awaitable calls on an executor; when it dies, every open call fails.

    Args:
        executor: Runs the calls; started and stopped here.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._open: set[asyncio.Future[Any]] = set()
        self._loop: asyncio.AbstractEventLoop
        self._on_death: Callable[[], None]

    @property
    def alive(self) -> bool:
        """Whether calls will be run."""
        return self._executor.alive

    def start(self, on_death: Callable[[], None]) -> None:
        """Start the executor; `on_death` is called on the running event loop if it dies."""
        self._loop = asyncio.get_running_loop()
        self._on_death = on_death
        self._executor.start(on_death=lambda: self._post(self._died))

    def call(self, function: Callable[[], ResultT]) -> asyncio.Future[ResultT]:
        """Run a function on the executor.

        The future gets its result or its exception, or `NotReady` if the executor dies first. A function that finds
        its device lost ends the executor: no later call could succeed.
        """
        future: asyncio.Future[ResultT] = self._loop.create_future()

        def work() -> None:
            try:
                result = function()
            except DeviceLost:
                raise
            except Exception as error:
                self._post(_set_exception, future, error)
            else:
                self._post(_set_result, future, result)

        if self._executor.alive:
            self._open.add(future)
            future.add_done_callback(self._open.discard)
            self._executor.submit(work)
        else:
            future.set_exception(executor_stopped())
        return future

    def stop(self) -> None:
        """Let the executor end after what it has."""
        self._executor.stop()

    def _post(self, callback: Callable[..., None], *args: object) -> None:
        """Call back on the event loop, from any thread."""
        # A closed loop refuses; then nobody waits any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *args)

    def _died(self) -> None:
        self._on_death()
        for future in list(self._open):
            _set_exception(future, executor_stopped())


def _set_result(future: asyncio.Future[ResultT], result: ResultT) -> None:
    if not future.done():
        future.set_result(result)


def _set_exception(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
