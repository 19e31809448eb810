"""Refusing bodies that take too long: a client that sends a byte now and then must not keep a request open.

A body has a fixed time, and to it what its size takes at a slow line's rate, so that large bodies are not cut off.
"""

import asyncio

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# 128 kbit/s.
_BYTES_PER_SECOND = 16 * 1024


class BodyTimeout:
    """ASGI middleware that ends the wait for the rest of a body.

    Args:
        app: The application behind it.
        seconds: Time for a body, beside the time of its bytes.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun_at = asyncio.get_running_loop().time()
        received = 0
        complete = False

        async def receive_in_time() -> Message:
            nonlocal received, complete
            if complete:  # what follows is the client's departure, which may take as long as it likes
                return await receive()
            try:
                async with asyncio.timeout_at(begun_at + self._seconds + received / _BYTES_PER_SECOND):
                    message = await receive()
            except TimeoutError:
                # A connection with an unread body cannot be used for another request.
                detail = f"The body was not there within {self._seconds:g} s."
                raise HTTPException(408, detail, headers={"Connection": "close"}) from None
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            return message

        await self._app(scope, receive_in_time, send)
