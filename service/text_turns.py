"""Tokenising and decoding beside the event loop, with fair turns.

A list of long documents keeps every text thread busy for seconds. So its documents wait here and not in the pool, and
the text that ends first in its request's share is next (`service.batching.shares`): a short request goes between two
documents of any list.
"""

import asyncio
import contextlib
import heapq
from collections.abc import Callable
from concurrent.futures import Executor, Future
from itertools import count
from typing import Any, TypeVar

from service.batching.shares import Share, Shares

ResultT = TypeVar("ResultT")


class TextTurns:
    """Runs functions on the threads of a pool, at most one on each.

    Args:
        pool: What runs them.
        threads: How many there are.

    Attributes:
        threads: How many run.
        shares: Who has work; `run` needs a share of these.
    """

    def __init__(self, pool: Executor, threads: int) -> None:
        self.threads = threads
        self.shares = Shares()
        self._pool = pool
        self._free = threads
        self._numbers = count()
        self._waiting: list[tuple[float, int, float, asyncio.Future[None]]] = []

    async def run(self, share: Share, cost: float, function: Callable[[], ResultT]) -> ResultT:
        """Return what a function returns when its turn has come.

        Args:
            share: That of its request.
            cost: How much work it is, about: characters.
            function: What to run; once begun, it runs to its end even if nobody waits for it any more.
        """
        loop = asyncio.get_running_loop()
        (start,) = share.take([cost])
        turn = loop.create_future()
        heapq.heappush(self._waiting, (start + cost, next(self._numbers), cost, turn))
        self._give_turns()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._ended()
            raise

        def ended(_: Future[Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
                loop.call_soon_threadsafe(self._ended)

        running = self._pool.submit(function)
        running.add_done_callback(ended)
        return await asyncio.wrap_future(running)

    def _give_turns(self) -> None:
        while self._free and self._waiting:
            end, _, cost, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self._free -= 1
                self.shares.skip_to(end - cost)
                self.shares.spend(cost)
                turn.set_result(None)

    def _ended(self) -> None:
        self._free += 1
        self._give_turns()
