"""What holds for every request: an id, a count, a log line, and an answer even to an unexpected error."""

import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import internal_error_response
from service.metrics import Metrics

logger = logging.getLogger(__name__)

REQUEST_ID_HEADER = "X-Request-Id"
UNMATCHED = "unmatched"

# Asked every few seconds by machines.
_PROBED = frozenset({"/health/live", "/health/ready", "/metrics"})
_ACCEPTED_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


class RequestContext:
    """ASGI middleware around everything else.

    It sets `request.state.request_id` from the header `X-Request-Id`, if that is short and harmless, or makes one; the
    answer carries it. Routes may set `request.state.model` to the model that a request is counted under.

    Args:
        app: The application behind it.
        metrics: Counts the requests.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"] = request_id = _request_id(scope)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        started = time.perf_counter()
        self._metrics.request_started()
        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            logger.exception("request %s: unexpected error", request_id)
            if status == 0:
                await internal_error_response(request_id)(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - started
            endpoint = getattr(scope.get("route"), "path", UNMATCHED)
            model = state.get("model", "")
            self._metrics.request_finished(endpoint, model, status or 500, seconds)
            logger.log(
                logging.DEBUG if endpoint in _PROBED else logging.INFO,
                "request_id=%s method=%s endpoint=%s model=%s status=%d milliseconds=%.1f",
                request_id,
                scope["method"],
                endpoint,
                model or "-",
                status or 500,
                seconds * 1000,
            )


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
    return given if _ACCEPTED_ID.fullmatch(given) else uuid.uuid4().hex
