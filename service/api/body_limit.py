"""Refusing bodies that are too large while they are read, whether or not their length was announced."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """ASGI middleware that counts a request's bytes as they arrive.

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
        announced = _announced_bytes(scope)
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            if announced > self._max_bytes:
                self._refuse()
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > self._max_bytes:
                    self._refuse()
            return message

        await self._app(scope, receive_counted, send)

    def _refuse(self) -> None:
        # The rest of the body is not read, so the connection cannot be used for another request.
        detail = f"The body is larger than {self._max_bytes} bytes."
        raise HTTPException(413, detail, headers={"Connection": "close"})


def _announced_bytes(scope: Scope) -> int:
    # Eighteen digits are far beyond any limit, and Python refuses to convert thousands of them.
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:18])
    return 0
