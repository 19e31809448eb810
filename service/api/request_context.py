"""What holds for every request: an id, a count, a log line, a trace, and an answer even to an unexpected error."""

import logging
import re
import time
import uuid
from collections.abc import Callable

from fastapi.routing import APIRoute, iter_route_contexts
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import internal_error_response
from service.api.request_state import PROBES
from service.dialects.paths import dialect_of
from service.telemetry.logs import log_request, with_fields
from service.telemetry.metrics import Metrics
from service.telemetry.request_record import UNMATCHED, RequestRecord
from service.telemetry.tracing import Tracing

logger = logging.getLogger(__name__)

REQUEST_ID_HEADER = "X-Request-Id"

# Asked every few seconds by machines: logged for debugging only, and never traced.
_ACCEPTED_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})


class RequestContext:
    """ASGI middleware around everything else.

    Every request carries a record, `request.state.record`. Its id comes from the header `X-Request-Id`, if that is
    short and harmless, or is made; the answer carries it. Routes note in the record what they learn.

    Args:
        app: The application behind it.
        metrics: Counts the requests.
        tracing: Traces them.
        clock: Monotonic seconds, the scheduler's clock.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, tracing: Tracing, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._tracing = tracing
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "other"
        record = RequestRecord(_request_id(scope), method, self._clock(), dialect=dialect_of(method, scope["path"]))
        scope.setdefault("state", {})["record"] = record
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = record.request_id
            await send(message)

        traced = scope["path"] not in PROBES
        if traced:
            self._tracing.request_started(record, scope["headers"])
        self._metrics.request_started()
        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            logger.exception(
                "unexpected error", extra=with_fields(request_id=record.request_id, trace_id=record.trace_id)
            )
            if status == 0:
                await internal_error_response(record.request_id, scope["path"])(scope, receive, send_with_id)
        finally:
            record.finish(_endpoint(scope), status or 500, self._clock())
            self._metrics.request_finished(record)
            if traced:
                self._tracing.request_finished(record)
            log_request(logger, logging.DEBUG if record.endpoint in PROBES else logging.INFO, record)


def _endpoint(scope: Scope) -> str:
    """Return the path of the request's route; of the route that it was meant for, if it was refused before."""
    if "route" in scope:
        return getattr(scope["route"], "path", UNMATCHED)
    routes = (context.original_route for context in iter_route_contexts(scope["app"].routes))
    paths = (route.path for route in routes if isinstance(route, APIRoute) and route.path_regex.match(scope["path"]))
    return next(paths, UNMATCHED)


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
    return given if _ACCEPTED_ID.fullmatch(given) else uuid.uuid4().hex
