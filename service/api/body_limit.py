"""Refusing bodies that are too large, whether or not their length was announced."""

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
