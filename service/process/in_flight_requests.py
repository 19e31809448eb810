"""The requests in flight when a server stops: how many are left, and that each connection ends with its answer.

uvicorn stops listening the moment it is asked to exit: whoever comes then is not refused but finds nobody, and waiting
connections are cut. So it is asked only when nothing that was accepted is in flight any more. Until then it listens,
and every answer asks its client to connect anew, which leads it to another server. What a server refuses meanwhile is
decided in `service/shutdown.py`, what a signal does in `stop_signals.py`.
"""

import time
from collections.abc import Callable
from typing import Protocol

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Stoppable(Protocol):
    """How far the end of a server has come."""

    @property
    def leaving(self) -> bool:
        """Whether it has been asked to stop."""

    @property
    def draining(self) -> bool:
        """Whether it accepts nothing any more."""


class InFlightRequests:
    """ASGI middleware that counts the requests without an answer, around the whole application.

    Args:
        app: The application.
        server: Returns what is being stopped; None before it has started.
        timeout_seconds: Time after which the server counts as drained, whatever has not been answered.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        app: ASGIApp,
        server: Callable[[], Stoppable | None],
        timeout_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._server = server
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._accepted = 0
        self._ends_at: float | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_last(message: Message) -> None:
            if message["type"] == "http.response.start" and self._leaving():
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        # Only what was there before can have been accepted; what comes later is refused and need not be waited for.
        accepted = not self._draining()
        self._accepted += accepted
        try:
            await self._app(scope, receive, send_last)
        finally:
            self._accepted -= accepted

    def _leaving(self) -> bool:
        server = self._server()
        return server is not None and server.leaving

    def _draining(self) -> bool:
        server = self._server()
        return server is not None and server.draining

    def drained(self) -> bool:
        """Tell whether the server drains and everything that it may have accepted is answered, or time is up."""
        if not self._draining():
            return False
        if self._ends_at is None:
            self._ends_at = self._clock() + self._timeout_seconds
        return self._accepted == 0 or self._clock() >= self._ends_at
