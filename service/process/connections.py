"""What a client may take of the server beside its requests: connections, bytes of headers, time to send and to read.

uvicorn bounds none of these with its httptools protocol, so a handful of clients that send a byte now and then, or
never read what they asked for, could hold every connection. Here each stage of a connection has its end:

    new or idle ─> head ─────────> body ──────────────────────> answer ─────────> idle
     closed        408, 431        408, by                      cut off when      closed
                   after a time    service.api.body_limits     nobody reads it

What is refused here never became a request, so it is not in the log or in `bigbird_requests_total`; it is counted by
`bigbird_ended_connections_total`. While a request of the same connection is still being answered, its answer goes out
and then the connection is closed.
"""

import asyncio
import uuid
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from service.api.body_limits import LEAST_BYTES_PER_SECOND
from service.api.problems import problem_response
from service.api.request_context import REQUEST_ID_HEADER
from service.process.http_parser import UpgradeBlindParser
from service.telemetry.state_metrics import ConnectionMetrics, EndReason

# Most clients send on before they look for an answer, and lose it if the connection is cut meanwhile.
_LINGER_SECONDS = 1.0
# One read of the socket can hold thousands of requests, each of which becomes objects.
_MOST_PIPELINED = 100
_RETRY_AFTER_SECONDS = 5


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What each connection may take, and how many there may be.

    Attributes:
        max_connections: Most open connections; beyond them the longest idle one goes, or the new one is refused.
        max_header_bytes: Most bytes of a request's line and headers.
        header_seconds: Time for them, from the connection or, later, from their first byte.
        body_seconds: Time for what remains of a body after its answer.
        write_seconds: Time in which a client must read something of its answer, at the least rate below.
    """

    max_connections: int
    max_header_bytes: int
    header_seconds: float
    body_seconds: float
    write_seconds: float


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with an end to everything.

    Args:
        limits: What a connection may take.
        metrics: Counts connections, and what is ended.
        arguments: uvicorn's own.
    """

    def __init__(self, limits: ConnectionLimits, metrics: ConnectionMetrics, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.parser = UpgradeBlindParser(self)  # type: ignore[assignment]
        self._limits = limits
        self._metrics = metrics
        self._in_head = False
        self._message_complete = True
        self._refused = False
        # Of the present head, and of what has arrived since the last thing that the parser could make use of.
        self._header_bytes = 0
        self._unparsed_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._reading_steps = 0
        self._idle_since = self.loop.time()
        self._running: RequestResponseCycle | None = None

    # From open to closed.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._metrics.opened()
        if len(self.connections) > self._limits.max_connections and not self._close_an_idle_one():
            detail = f"There are {self._limits.max_connections} connections already."
            self._refuse("too_many", 503, "too_many_connections", "Too many connections", detail)
        else:
            self._set_timer(self._limits.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        # uvicorn tells only the newest of pipelined requests; the one that is answered would write to a closed socket.
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()
        self._stop_timers()
        self._metrics.closed()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._unparsed_bytes += len(data)
        super().data_received(data)
        if self._refused or self.transport.is_closing():
            return
        if max(self._header_bytes, self._unparsed_bytes) > self._limits.max_header_bytes:
            self._refuse_size()
        elif self._timer is None and (self._in_head or self.idle):
            self._set_timer(self._limits.header_seconds)

    @property
    def idle(self) -> bool:
        """Whether nothing of a request has arrived and nothing is owed to the client."""
        answered = self.cycle is None or self.cycle.response_complete
        return self._message_complete and answered and not self.transport.is_closing()

    # What the parser finds.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._message_complete = False
        self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._header_bytes += len(url)
        if self._header_bytes <= self._limits.max_header_bytes:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer behind a chunked body, as long as there is room."""
        self._header_bytes += len(name) + len(value) + len(b": \r\n")
        if self._header_bytes <= self._limits.max_header_bytes:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._unparsed_bytes = 0
        self._cancel_timer()
        if self._refused:
            return
        if self._header_bytes > self._limits.max_header_bytes:
            self._refuse_size()
        elif len(self.pipeline) >= _MOST_PIPELINED:
            self._refuse("pipelining", 400, "malformed_request", "Malformed request", "Too many pipelined requests.")
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unparsed_bytes = 0
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._message_complete = True
        self._unparsed_bytes = 0
        self._cancel_timer()
        if not self._refused:
            super().on_message_complete()

    # What the application has answered.

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._reading_steps += 1
        self._idle_since = self.loop.time()
        if not self._message_complete and self._timer is None:
            self._set_timer(self._limits.body_seconds)
        self._watch_writing()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reading_steps += 1

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, in the form of every other problem."""
        self._refuse("malformed", 400, "malformed_request", "Malformed request", msg)

    # Ends.

    def _set_timer(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._out_of_time)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_timers(self) -> None:
        self._cancel_timer()
        if self._write_timer is not None:
            self._write_timer.cancel()
        self._unset_keepalive_if_required()

    def _out_of_time(self) -> None:
        self._timer = None
        if self._in_head:
            detail = f"The headers were not there within {self._limits.header_seconds:g} s."
            self._refuse("header_timeout", 408, "request_timeout", "Request timeout", detail)
        else:
            self._metrics.ended("idle" if self.idle else "body_timeout")
            self.transport.close()

    def _refuse_size(self) -> None:
        detail = f"The headers are larger than {self._limits.max_header_bytes} bytes."
        self._refuse("header_size", 431, "headers_too_large", "Headers too large", detail)

    def _refuse(self, reason: EndReason, status: int, code: str, title: str, detail: str) -> None:
        """Read nothing more; answer with a problem, unless the answer to an earlier request must come first."""
        if self._refused:
            return
        self._refused = True
        self._metrics.ended(reason)
        self._stop_timers()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
            return
        self.connections.discard(self)
        request_id = uuid.uuid4().hex
        headers = {REQUEST_ID_HEADER: request_id, "Connection": "close"}
        if status == 503:
            headers["Retry-After"] = str(_RETRY_AFTER_SECONDS)
        self.transport.write(self._written(problem_response(request_id, status, code, title, detail, headers=headers)))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer = self.loop.call_later(_LINGER_SECONDS, self.transport.abort)

    def _written(self, response: Response) -> bytes:
        headers = [*self.server_state.default_headers, *response.raw_headers]
        lines = [name + b": " + value + b"\r\n" for name, value in headers]
        return b"".join([STATUS_LINE[response.status_code], *lines, b"\r\n", response.body])

    def _close_an_idle_one(self) -> bool:
        """Close the connection that has been idle longest, if there is one beside this; return whether there was."""
        others = [other for other in self.connections if isinstance(other, LimitedProtocol) and other is not self]
        idle = [other for other in others if other.idle]
        if not idle:
            return False
        self._metrics.ended("idle")
        min(idle, key=lambda other: other._idle_since).transport.close()
        return True

    def _watch_writing(self) -> None:
        unread = self.transport.get_write_buffer_size()
        if unread and self._write_timer is None:
            seconds = self._limits.write_seconds
            self._write_timer = self.loop.call_later(seconds, self._end_unread, unread, self._reading_steps)

    def _end_unread(self, unread_before: int, steps_before: int) -> None:
        """Cut a client off that has read nothing of what it was given; it may have been given more since."""
        self._write_timer = None
        unread = self.transport.get_write_buffer_size()
        progress = unread_before - unread >= self._limits.write_seconds * LEAST_BYTES_PER_SECOND
        if unread == 0 or progress or self._reading_steps > steps_before:
            self._watch_writing()
            return
        self._metrics.ended("write_timeout")
        self.transport.abort()


def limit_connections(limits: ConnectionLimits, metrics: ConnectionMetrics) -> type[HttpToolsProtocol]:
    """Return uvicorn's protocol with limits, as a class: uvicorn makes the instances, and gives them its own arguments.

    Args:
        limits: What a connection may take.
        metrics: Counts connections, and what is ended.
    """

    class Limited(LimitedProtocol):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(limits, metrics, *arguments, **named)

    return Limited
