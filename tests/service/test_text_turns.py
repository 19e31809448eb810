"""Whose text is next, on a pool of one thread that runs when the test says."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any

from service.text_turns import TextTurns
from tests.service.asynchronous import asynchronous
from tests.service.manual_executor import settle


class ManualPool(Executor):
    """Keeps what it is given until it is told to run it."""

    def __init__(self) -> None:
        self.given: list[tuple[Callable[[], Any], Future[Any]]] = []

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # type: ignore[override]
        future: Future[Any] = Future()
        self.given.append((function, future))
        return future

    async def run_next(self) -> None:
        function, future = self.given.pop(0)
        if future.set_running_or_notify_cancel():
            future.set_result(function())
        await settle()


class Texts:
    """Turns on one thread; what ran, in its order."""

    def __init__(self) -> None:
        self.pool = ManualPool()
        self.turns = TextTurns(self.pool, 1)
        self.ran: list[str] = []

    def post(self, name: str, share: Any, count: int, characters: int) -> list[asyncio.Task[None]]:
        return [
            asyncio.create_task(self.turns.run(share, characters, lambda: self.ran.append(name))) for _ in range(count)
        ]


@asynchronous
async def test_a_short_text_is_next_beside_any_number_of_lists() -> None:
    texts = Texts()
    with texts.turns.shares.open() as one, texts.turns.shares.open() as other, texts.turns.shares.open() as short:
        lists = texts.post("a", one, 5, 1000) + texts.post("b", other, 5, 1000)
        await settle()
        assert len(texts.pool.given) == 1  # nothing waits inside the pool
        await texts.pool.run_next()
        await texts.pool.run_next()
        single = texts.post("short", short, 1, 10)
        await settle()
        for _ in range(9):
            await texts.pool.run_next()
        await asyncio.gather(*lists, *single)
    assert texts.ran[:2] == ["a", "b"]
    assert texts.ran.index("short") == 3  # one text was running when it came
    assert texts.ran.count("a") == texts.ran.count("b") == 5


@asynchronous
async def test_who_gives_up_leaves_its_turn_to_others() -> None:
    texts = Texts()
    with texts.turns.shares.open() as share:
        running, waiting, last = texts.post("a", share, 3, 10)
        await settle()
        function, future = texts.pool.given.pop()
        assert future.set_running_or_notify_cancel()
        waiting.cancel()
        running.cancel()  # what has begun runs to its end, and only then is the thread free
        await settle()
        assert not texts.pool.given
        future.set_result(function())
        await settle()
        await texts.pool.run_next()
        await asyncio.wait([running, waiting, last])
    assert last.done() and not last.cancelled()
    assert waiting.cancelled()


@asynchronous
async def test_quick_work_is_done_on_the_event_loop_one_piece_in_each_round() -> None:
    texts = Texts()
    with texts.turns.shares.open() as share:
        first, second = (
            asyncio.create_task(texts.turns.run(share, 10, partial(texts.ran.append, name), quick=True))
            for name in ("a", "b")
        )
        rounds = 0
        while not first.done():
            await asyncio.sleep(0)
        assert texts.ran == ["a"]
        while not second.done():
            await asyncio.sleep(0)
            rounds += 1
    assert rounds > 1
    assert texts.ran == ["a", "b"]
    assert not texts.pool.given


@asynchronous
async def test_quick_work_that_fails_or_is_given_up_leaves_its_turn_to_others() -> None:
    texts = Texts()
    with texts.turns.shares.open() as share:
        failing = asyncio.create_task(texts.turns.run(share, 10, lambda: 1 // 0, quick=True))
        gone = asyncio.create_task(texts.turns.run(share, 10, lambda: texts.ran.append("gone"), quick=True))
        last = asyncio.create_task(texts.turns.run(share, 10, lambda: texts.ran.append("last"), quick=True))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([failing, gone, last])
    assert isinstance(failing.exception(), ZeroDivisionError)
    assert gone.cancelled()
    assert texts.ran == ["last"]
