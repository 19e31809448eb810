"""Refusing bodies that are too large or take too long, whether or not their length was announced.

A client that sends a byte now and then must not keep a request open: a body has a fixed time, and to it what its size
takes at a slow line's rate, so that large bodies are not cut off.
"""

import asyncio
from typing import NoReturn

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Most clients send their whole body before they look for an answer, and lose the answer if the connection is closed
# before that. So the rest of a body is read and thrown away, up to this much.
_DISCARDED_BYTES = 64 * 1024 * 1024


class BodyLimit:
    """ASGI middleware that counts a request's bytes as they arrive and keeps none beyond the limit.

    Args:
        app: The application behind it.
        max_bytes: Largest body.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                await self._refuse(message, received, receive)
            return message

        await self._app(scope, receive_counted, send)

    async def _refuse(self, message: Message, received: int, receive: Receive) -> NoReturn:
        while message.get("more_body", False) and received <= self._max_bytes + _DISCARDED_BYTES:
            message = await receive()
            received += len(message.get("body", b""))
        # A connection with an unread body cannot be used for another request.
        headers = {"Connection": "close"} if message.get("more_body", False) else None
        raise HTTPException(413, f"The body is larger than {self._max_bytes} bytes.", headers=headers)


LEAST_BYTES_PER_SECOND = 16 * 1024
"""A client that sends or reads at this rate is slow, not stalled: 128 kbit/s."""


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
                async with asyncio.timeout_at(begun_at + self._seconds + received / LEAST_BYTES_PER_SECOND):
                    message = await receive()
            except TimeoutError:
                # A connection with an unread body cannot be used for another request.
                detail = f"The body was not there within {self._seconds:g} s."
                raise HTTPException(408, detail, headers={"Connection": "close"}) from None
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            return message

        await self._app(scope, receive_in_time, send)
