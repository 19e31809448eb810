"""Bounds how many requests are under way at once, and how many bytes their bodies and their answers have together.

The queue bounds what was accepted. This bounds what lies before it: bodies that are being read and parsed, which would
otherwise cost the largest body times as many connections as a client opens. And what lies behind it: answers that are
held until slow clients have read them. Most answers are small, and are never refused for the large ones of others.
"""

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bigbird_inference.errors import TooManyRequests
from service.api.problems import service_problem
from service.api.request_state import PROBES, request_record
from service.telemetry.metrics import Metrics
from service.telemetry.request_record import RequestRecord

# They must be answered at any time, and cost next to nothing.
_RETRY_AFTER_SECONDS = 1.0
_SMALL_ANSWER_BYTES = 2**20


class RequestLimit:
    """ASGI middleware that refuses requests while too many, or too large ones, have no answer yet.

    Every request carries `request.state.hold_answer`, to be called with the bytes of its answer as they are made.

    Args:
        app: The application behind it.
        max_requests: Most requests under way.
        max_bytes: Most bytes of their bodies.
        max_answers_bytes: Most bytes of their answers, beyond the small ones.
        metrics: Counts the refusals.
    """

    def __init__(
        self, app: ASGIApp, max_requests: int, max_bytes: int, max_answers_bytes: int, metrics: Metrics
    ) -> None:
        self._app = app
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._max_answers_bytes = max_answers_bytes
        self._metrics = metrics
        self._requests = 0
        self._bytes = 0
        self._answers_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        # Not the request: it holds `hold_answer`, and what holds itself is left to the garbage collector.
        record = request_record(request)
        if self._requests >= self._max_requests:
            refusal = self._refusal(record, f"{self._max_requests} requests are under way already.")
            await service_problem(request, refusal)(scope, receive, send)
            return
        own = answer = held = 0

        def hold_answer(size: int) -> None:
            nonlocal answer, held
            answer += size
            more = max(0, answer - _SMALL_ANSWER_BYTES) - held
            held += more
            self._answers_bytes += more
            if more and self._answers_bytes > self._max_answers_bytes:
                raise self._refusal(record, "The answers that are not read yet are too large together.")

        async def receive_counted() -> Message:
            nonlocal own
            message = await receive()
            size = len(message.get("body", b""))
            own += size
            self._bytes += size
            if self._bytes > self._max_bytes:
                raise self._refusal(record, "The requests under way are too large together.")
            return message

        request.state.hold_answer = hold_answer
        self._requests += 1
        try:
            await self._app(scope, receive_counted, send)
        finally:
            self._requests -= 1
            self._bytes -= own
            self._answers_bytes -= held

    def _refusal(self, record: RequestRecord, detail: str) -> TooManyRequests:
        refusal = TooManyRequests(detail, retry_after_seconds=_RETRY_AFTER_SECONDS)
        record.refused = refusal.code
        self._metrics.request_refused(refusal.code)
        return refusal
