"""Tokenising and decoding with fair turns: beside the event loop, or on it where that takes a millisecond or two.

A list of long documents keeps every text thread busy for seconds. So its documents wait here and not in the pool, and
the text that ends first in its request's share is next (`service.batching.shares`): a short request goes between two
documents of any list.

Quick work gains little by a thread of its own, since the interpreter runs one at a time, and each hand-over has its
price. So it is done on the event loop, one piece in each of its rounds: what else the loop has to do waits for one
piece at most.
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
    """Runs functions on the event loop and on the threads of a pool, at most one on each.

    Args:
        pool: What runs them beside the event loop.
        threads: How many there are.

    Attributes:
        threads: How many run.
        shares: Who has work; `run` needs a share of these.
    """

    def __init__(self, pool: Executor, threads: int) -> None:
        self.threads = threads
        self.shares = Shares()
        self._pool = pool
        self._numbers = count()
        self._on_threads = _Line(self.shares, threads)
        self._on_loop = _Line(self.shares, 1)

    async def run(self, share: Share, cost: float, function: Callable[[], ResultT], *, quick: bool = False) -> ResultT:
        """Return what a function returns when its turn has come.

        Args:
            share: That of its request.
            cost: How much work it is, about: characters.
            function: What to run; once begun, it runs to its end even if nobody waits for it any more.
            quick: Whether it takes a millisecond or two at most.
        """
        loop = asyncio.get_running_loop()
        (start,) = share.take([cost])
        line = self._on_loop if quick else self._on_threads
        turn = loop.create_future()
        line.join((start + cost, next(self._numbers), cost, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                line.leave()
            raise
        if quick:
            # The next one's turn is in the next round.
            loop.call_soon(line.leave)
            return function()

        def ended(_: Future[Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
                loop.call_soon_threadsafe(line.leave)

        running = self._pool.submit(function)
        running.add_done_callback(ended)
        return await asyncio.wrap_future(running)


class _Line:
    """Who waits for a place, the text that ends first in its request's share in front.

    Args:
        shares: Who has work.
        places: How many there are.
    """

    def __init__(self, shares: Shares, places: int) -> None:
        self._shares = shares
        self._free = places
        self._waiting: list[tuple[float, int, float, asyncio.Future[None]]] = []

    def join(self, entry: tuple[float, int, float, asyncio.Future[None]]) -> None:
        """Wait for a place: where the work ends in its share, its number, its cost, and what is done then."""
        heapq.heappush(self._waiting, entry)
        self._give_turns()

    def leave(self) -> None:
        """Give a place back."""
        self._free += 1
        self._give_turns()

    def _give_turns(self) -> None:
        while self._free and self._waiting:
            end, _, cost, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self._free -= 1
                self._shares.skip_to(end - cost)
                self._shares.spend(cost)
                turn.set_result(None)
