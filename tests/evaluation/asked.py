"""Connections to services that a test makes up, and outcomes without any service."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx

from evaluation.asking import Answer, Asking, Keep, Outcome, ask_all
from evaluation.connection import Connection, ModelInfo, Target

Handler = Callable[[httpx.Request], httpx.Response] | Callable[[httpx.Request], Awaitable[httpx.Response]]


def model(task: str = "classify", labels: Sequence[str] = ("no", "yes"), **fields: Any) -> ModelInfo:
    facts = {"problem_type": None, "precision": "fp32", "max_length": 4096, "checkpoint": "c", "name": "m"} | fields
    return ModelInfo(task=task, labels=tuple(labels), **facts)


def answer(tokens: int = 10, **body: Any) -> Answer:
    return Answer({**body, "usage": {"tokens": tokens}}, tokens)


class Waits:
    """Stands in for the clock and for sleeping, and takes note of it."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def ask(
    handler: Handler, bodies: Sequence[dict[str, Any]], asking: Asking, keep: Keep = lambda body: body
) -> list[Outcome]:
    """Ask a service that the handler plays."""

    async def run() -> list[Outcome]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(handler), base_url="http://service") as client:
            connection = Connection(Target("http://service"), client, model())
            return await ask_all(connection, "/classify", bodies, asking, keep)

    return asyncio.run(run())
