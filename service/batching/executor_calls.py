"""Calls from the event loop to the executor's thread, as futures that always end."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

from bigbird_inference.runtime.session import DeviceLost
from service.batching.executor import Executor
from service.batching.refusals import executor_stopped

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
