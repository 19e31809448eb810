"""The one thread that runs a device's batches.

A device runs one batch at a time, so one thread is all it needs; it keeps the event loop free while the device works.
Work catches its own failures. What still escapes (an exit request, an exhausted interpreter) ends the thread, and its
death is reported instead of leaving waiters behind.
"""

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

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
        name: The thread's name, as shown by debuggers and logs.
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
