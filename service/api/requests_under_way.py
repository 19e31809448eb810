"""Bounding what is under way: how many requests, and how many bytes their bodies have together.

The queue bounds what was accepted. This bounds what lies before it: bodies that are being read and parsed, which would
otherwise cost the largest body times as many connections as a client opens.
"""

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bigbird_inference.errors import TooManyRequests
from service.api.problems import service_problem
from service.api.request_state import PROBES, request_record
from service.telemetry.metrics import Metrics

# They must be answered at any time, and cost next to nothing.
_RETRY_AFTER_SECONDS = 1.0


class RequestLimit:
    """ASGI middleware that refuses requests while too many, or too large ones, have no answer yet.

    Args:
        app: The application behind it.
        max_requests: Most requests under way.
        max_bytes: Most bytes of their bodies.
        metrics: Counts the refusals.
    """

    def __init__(self, app: ASGIApp, max_requests: int, max_bytes: int, metrics: Metrics) -> None:
        self._app = app
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._requests = 0
        self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        if self._requests >= self._max_requests:
            refusal = self._refusal(request, f"{self._max_requests} requests are under way already.")
            await service_problem(request, refusal)(scope, receive, send)
            return
        own = 0

        async def receive_counted() -> Message:
            nonlocal own
            message = await receive()
            size = len(message.get("body", b""))
            own += size
            self._bytes += size
            if self._bytes > self._max_bytes:
                raise self._refusal(request, "The requests under way are too large together.")
            return message

        self._requests += 1
        try:
            await self._app(scope, receive_counted, send)
        finally:
            self._requests -= 1
            self._bytes -= own

    def _refusal(self, request: Request, detail: str) -> TooManyRequests:
        refusal = TooManyRequests(detail, retry_after_seconds=_RETRY_AFTER_SECONDS)
        request_record(request).refused = refusal.code
        self._metrics.request_refused(refusal.code)
        return refusal
