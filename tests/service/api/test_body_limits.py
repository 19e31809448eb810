"""Bodies that take too long, at the ASGI interface."""

import asyncio
import json
from typing import Any

from service.api import body_limits
from service.app import create_app
from service.settings import Settings
from tests.fake_model import fake_loaded_model
from tests.service.asynchronous import LoopClock, asynchronous
from tests.service.manual_executor import settle

SECONDS = 0.05


async def answer(
    messages: list[dict[str, Any]], seconds: float, waiting: asyncio.Event | None = None
) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Post a body that comes in these parts, and then nothing; what waits for the rest is told by an event."""
    app = create_app(Settings(warm_up_seconds=0, body_timeout_seconds=seconds), {"fake": fake_loaded_model("ner")})
    sent: list[Any] = []
    parts = iter(messages)

    async def receive() -> dict[str, Any]:
        message = next(parts, None)
        if message is None:
            if waiting is not None:
                waiting.set()
            await asyncio.Event().wait()
        assert message is not None
        return message

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/ner",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    async with app.router.lifespan_context(app):
        await app.state.serving.warmed()
        await app(scope, receive, send)
    start, body = sent
    return start["status"], {k.decode(): v.decode() for k, v in start["headers"]}, json.loads(body["body"])


def part(body: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


@asynchronous
async def test_a_body_that_does_not_end_in_time_is_refused_and_the_connection_closed() -> None:
    status, headers, problem = await answer([part(b'{"text": ')], SECONDS)
    assert (status, problem["code"]) == (408, "request_timeout")
    assert headers["connection"] == "close"


@asynchronous
async def test_time_after_the_body_does_not_count() -> None:
    status, _, _ = await answer([part(b'{"text": '), part(b'"10"}', more=False)], seconds=5)
    assert status == 200


@asynchronous
async def test_a_large_body_has_more_time() -> None:
    """Its bytes are worth ten seconds, beside the fixed five."""
    large = b" " * (10 * body_limits.LEAST_BYTES_PER_SECOND)
    clock = LoopClock()
    waiting = asyncio.Event()
    answering = asyncio.create_task(answer([part(large)], 5, waiting))
    await waiting.wait()
    clock.advance(14.9)
    await settle()
    assert not answering.done()
    clock.advance(0.2)
    status, _, _ = await answering
    assert status == 408
