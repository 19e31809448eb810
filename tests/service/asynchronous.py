"""Tests as coroutines."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any


class LoopClock:
    """Takes the place of the running event loop's clock: time passes when it is told to, and not by itself."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._now = loop.time()
        loop.time = lambda: self._now  # type: ignore[method-assign]

    def release(self) -> None:
        """Let time pass by itself again, so that what waits for something that does not come fails."""
        del asyncio.get_running_loop().time

    def advance(self, seconds: float) -> None:
        self._now += seconds


def asynchronous(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test function in an event loop of its own."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run
