"""What a client may take of the server beside its requests: connections, bytes of headers, time to send and to read.

uvicorn bounds none of these with its httptools protocol, so a handful of clients that send a byte now and then, or
never read what they asked for, could hold every connection. Here each stage of a connection has its end:

    new or idle ─> head ─────────> body ──────────────────────> answer ─────────> idle
     closed        408, 431        408, by                      cut off when      closed
                   after a time    service.api.body_limits     nobody reads it

And there is room for those that come (`service.process.room`). Beyond the limit of connections an idle one gives way.
If there is none, a few more may say what they want: probes are answered, and for all else the slowest unfinished
request gives way.

What is refused here before its head is complete never became a request, so it is not in the log or in
`bigbird_requests_total`; it is counted by `bigbird_ended_connections_total`. A request whose body cannot be read on is
refused through the application, and is in both. While an earlier request of the same connection is still being
answered, its answer goes out and then the connection is closed.
"""

import asyncio
import uuid
from dataclasses import dataclass
from typing import Any

import httptools
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from service.api.body_limits import LEAST_BYTES_PER_SECOND
from service.api.problems import http_problem_response
from service.api.request_context import REQUEST_ID_HEADER
from service.api.request_state import PROBES
from service.process.http_parser import RequestParser, UnacceptableRequest
from service.process.room import HEADROOM, Room, Standing
from service.telemetry.state_metrics import ConnectionMetrics, EndReason

# Most clients send on before they look for an answer, and lose it if the connection is cut meanwhile.
_LINGER_SECONDS = 1.0
# One read of the socket can hold thousands of requests, each of which becomes objects.
_MOST_PIPELINED = 100
_RETRY_AFTER_SECONDS = 5
_PROBE_TARGETS = frozenset(path.encode() for path in PROBES)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What each connection may take, and how many there may be.

    Attributes:
        max_connections: Most open connections; beyond them one gives way, or the new one is refused.
        max_header_bytes: Most bytes of a request's line and headers.
        header_seconds: Time for them, from the connection or, later, from their first byte.
        write_seconds: Time in which a client must read something of its answer, at the least rate below.
    """

    max_connections: int
    max_header_bytes: int
    header_seconds: float
    write_seconds: float


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with an end to everything.

    Args:
        limits: What a connection may take.
        metrics: Counts connections, and what is ended.
        room: The server's room for connections.
        arguments: uvicorn's own.
    """

    def __init__(
        self,
        limits: ConnectionLimits,
        metrics: ConnectionMetrics,
        room: Room,
        *arguments: Any,
        **named: Any,
    ) -> None:
        super().__init__(*arguments, **named)
        self.parser = RequestParser(self)  # type: ignore[assignment]
        self._limits = limits
        self._metrics = metrics
        self._room = room
        self._beyond_limit = False
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
        # Whose answer is being made, and whose body is still arriving.
        self._running: RequestResponseCycle | None = None
        self._receiving: RequestResponseCycle | None = None
        self._body_refusal: HTTPException | None = None
        # When the present request began, and later by what the bytes of its body may take at the least rate.
        self._begun_at = 0.0

    # From open to closed.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._metrics.opened()
        self._set_timer(self._limits.header_seconds)
        beyond = len(self.connections) - self._limits.max_connections
        if beyond > 0 and self._make_room(Standing.ANSWERED):
            beyond -= 1
        self._beyond_limit = beyond > 0
        if beyond > HEADROOM and not self._make_room(Standing.UNFINISHED):
            self._refuse_number()

    def connection_lost(self, exc: Exception | None) -> None:
        # uvicorn tells only the newest of pipelined requests; the one that is answered would write to a closed socket.
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()
        self._stop_timers()
        self._metrics.closed()
        self._room.left(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._unparsed_bytes += len(data)
        self._unset_keepalive_if_required()
        # Not uvicorn's own, which logs a warning for whatever strangers send.
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            detail = str(error) if isinstance(error, UnacceptableRequest) else "This is not valid HTTP/1.1."
            if self._header_bytes > self._limits.max_header_bytes:
                self._refuse_size()
            self._refuse("malformed", 400, detail)
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
        self._begun_at = self.loop.time()

    def on_url(self, url: bytes) -> None:
        self._header_bytes += len(url)
        if self._header_bytes <= self._limits.max_header_bytes:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header as long as there is room; count a trailer, which uvicorn would add to the headers."""
        self._header_bytes += len(name) + len(value) + len(b": \r\n")
        if self._in_head and self._header_bytes <= self._limits.max_header_bytes:
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
            self._refuse("pipelining", 400, "Too many pipelined requests.")
        elif self._beyond_limit and not self._admit():
            self._refuse_number()
        else:
            super().on_headers_complete()
            self._receiving = self.cycle
            if self._beyond_limit:
                self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._unparsed_bytes = 0
        self._begun_at += len(body) / LEAST_BYTES_PER_SECOND
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._message_complete = True
        self._receiving = None
        self._unparsed_bytes = 0
        self._cancel_timer()
        if not self._refused:
            super().on_message_complete()

    # What the application has answered.

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        async def until_its_body_is_refused(scope: Scope, receive: Receive, send: Send) -> None:
            async def receive_or_refuse() -> Message:
                message = await receive()
                if self._body_refusal is not None:
                    raise self._body_refusal
                return message

            await app(scope, receive_or_refuse, send)  # type: ignore[arg-type]

        self._running = cycle
        super()._start_asgi_task(cycle, until_its_body_is_refused)  # type: ignore[arg-type]

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._reading_steps += 1
        self._idle_since = self.loop.time()
        # Not while the body of the next request arrives.
        if self._receiving is not None and self._receiving.response_complete:
            self._set_timer(_LINGER_SECONDS)
        self._watch_writing()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reading_steps += 1

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
            self._refuse("header_timeout", 408, f"The headers were not there within {self._limits.header_seconds:g} s.")
        else:
            self._metrics.ended("idle" if self.idle else "body_timeout")
            self.transport.close()

    def _refuse_size(self) -> None:
        self._refuse("header_size", 431, f"The headers are larger than {self._limits.max_header_bytes} bytes.")

    def _refuse_number(self) -> None:
        self._refuse("too_many", 503, f"There are {self._limits.max_connections} connections already; try again later.")

    def _refuse(self, reason: EndReason, status: int, detail: str) -> None:
        """Read nothing more; answer with a problem, unless the answer to an earlier request must come first."""
        if self._refused:
            return
        self._refused = True
        self._metrics.ended(reason)
        self._stop_timers()
        headers = {"Connection": "close"}
        if status == 503:
            headers["Retry-After"] = str(_RETRY_AFTER_SECONDS)
        refusal = HTTPException(status, detail, headers=headers)
        if self._receiving is not None and not self._receiving.response_complete:
            self._refuse_body(self._receiving, refusal)
        elif self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        else:
            self._answer(refusal)

    def _refuse_body(self, receiving: RequestResponseCycle, refusal: HTTPException) -> None:
        """Have the request refused by the application, which waits for its body; drop it if it has not begun."""
        if receiving is self._running:
            self._body_refusal = refusal
            receiving.message_event.set()
            last = receiving
        else:
            self.pipeline.popleft()
            last = self.pipeline[0][0] if self.pipeline else self._running  # type: ignore[assignment]
            self.cycle = last
        last.keep_alive = False

    def _answer(self, refusal: HTTPException) -> None:
        self.connections.discard(self)
        request_id = uuid.uuid4().hex
        response = http_problem_response(request_id, refusal)
        response.headers[REQUEST_ID_HEADER] = request_id
        self.transport.write(self._written(response))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer = self.loop.call_later(_LINGER_SECONDS, self.transport.abort)
        self._room.linger(self)

    def _written(self, response: Response) -> bytes:
        headers = [*self.server_state.default_headers, *response.raw_headers]
        lines = [name + b": " + value + b"\r\n" for name, value in headers]
        return b"".join([STATUS_LINE[response.status_code], *lines, b"\r\n", response.body])

    # Room for others.

    def _admit(self) -> bool:
        """Tell whether a request may come in beyond the limit: there is room by now, it is a probe, or another goes."""
        if len(self.connections) > self._limits.max_connections:
            if self.url.partition(b"?")[0] in _PROBE_TARGETS:
                return True
            if not self._make_room(Standing.UNFINISHED):
                return False
        self._beyond_limit = False
        return True

    def _make_room(self, last: Standing) -> bool:
        guests = (other for other in self.connections if isinstance(other, LimitedProtocol))
        return self._room.make(guests, self, last, self.loop.time())

    def standing(self) -> tuple[Standing, float]:
        """Return what this is at, and since when; a request whose bytes come quickly counts as younger than it is."""
        if self._refused:
            return Standing.OWED_AN_ANSWER, 0.0
        if self.cycle is not None and not self.cycle.response_complete:
            arriving = self._receiving is not None and self._receiving is self._running
            return (Standing.UNFINISHED, self._begun_at) if arriving else (Standing.OWED_AN_ANSWER, 0.0)
        if self._in_head:
            return Standing.UNFINISHED, self._begun_at
        if not self._message_complete:
            return Standing.ANSWERED, self._idle_since
        if not self.transport.is_closing() and not self.transport.get_write_buffer_size():
            return Standing.IDLE, self._idle_since
        # A probe's answer that is not read; other answers may take their time.
        return (Standing.ANSWERED if self._beyond_limit else Standing.OWED_AN_ANSWER), self._idle_since

    def give_way(self, standing: Standing) -> None:
        """Close the connection for another."""
        if standing is Standing.UNFINISHED:
            self._refuse_number()
            return
        self._metrics.ended("idle" if standing is Standing.IDLE else "body_timeout")
        self.connections.discard(self)
        # What is not read would keep its file open.
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def cut(self) -> None:
        """Close the connection at once."""
        self.transport.abort()

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
    room = Room()

    class Limited(LimitedProtocol):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(limits, metrics, room, *arguments, **named)

    return Limited
