"""When nothing is in flight any more, and what the last answers tell their clients."""

import asyncio

from starlette.types import Message, Receive, Scope, Send

from service.process.in_flight_requests import InFlightRequests
from tests.service.asynchronous import asynchronous

REQUEST: Scope = {"type": "http", "method": "GET", "path": "/"}


class Server:
    """An application whose answers wait until they are let go, in flight until then, with a clock that stands still."""

    def __init__(self) -> None:
        self.leaving = False
        self.draining = False
        self.now = 0.0
        self.go = asyncio.Event()
        self.sent: list[Message] = []
        self.in_flight = InFlightRequests(self.answer, lambda: self, 30.0, lambda: self.now)

    def drain_now(self) -> None:
        self.leaving = self.draining = True

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/refused":
            await send({"type": "http.response.start", "status": 503, "headers": []})
            return
        await self.go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"keep-alive")]})

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def receive(self) -> Message:
        raise AssertionError("nothing reads")

    def ask(self, path: str = "/") -> asyncio.Task[None]:
        return asyncio.create_task(self.in_flight({**REQUEST, "path": path}, self.receive, self.send))


async def begun(task: asyncio.Task[None]) -> asyncio.Task[None]:
    await asyncio.sleep(0)
    return task


@asynchronous
async def test_a_server_that_nobody_has_stopped_is_never_drained() -> None:
    assert not Server().in_flight.drained()


@asynchronous
async def test_a_server_without_requests_is_drained_at_once() -> None:
    server = Server()
    server.drain_now()
    assert server.in_flight.drained()


@asynchronous
async def test_it_is_drained_when_the_last_request_from_before_is_answered_which_ends_its_connection() -> None:
    server = Server()
    first = await begun(server.ask())
    server.drain_now()
    assert not server.in_flight.drained()
    server.go.set()
    await first
    assert server.in_flight.drained()
    assert server.sent == [{"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]}]


@asynchronous
async def test_while_it_leaves_requests_are_waited_for_and_their_answers_end_connections() -> None:
    server = Server()
    server.leaving = True
    accepted = await begun(server.ask())
    assert not server.in_flight.drained()
    server.drain_now()
    assert not server.in_flight.drained()
    server.go.set()
    await accepted
    assert server.in_flight.drained()
    assert server.sent[0]["headers"] == [(b"connection", b"close")]


@asynchronous
async def test_before_the_drain_connections_stay_as_the_application_wants_them() -> None:
    server = Server()
    server.go.set()
    await server.ask()
    assert server.sent[0]["headers"] == [(b"connection", b"keep-alive")]


@asynchronous
async def test_what_comes_during_the_drain_is_not_waited_for() -> None:
    server = Server()
    server.drain_now()
    late = await begun(server.ask())
    assert server.in_flight.drained()
    server.go.set()
    await late
    assert server.in_flight.drained()


@asynchronous
async def test_a_refusal_during_the_drain_ends_its_connection() -> None:
    server = Server()
    server.drain_now()
    await server.ask("/refused")
    assert server.sent == [{"type": "http.response.start", "status": 503, "headers": [(b"connection", b"close")]}]


@asynchronous
async def test_it_is_drained_when_time_is_up_whatever_has_no_answer() -> None:
    server = Server()
    stuck = await begun(server.ask())
    server.now = 1000.0
    server.drain_now()
    assert not server.in_flight.drained()
    server.now = 1029.9
    assert not server.in_flight.drained()
    server.now = 1030.0
    assert server.in_flight.drained()
    stuck.cancel()


@asynchronous
async def test_a_request_that_fails_or_whose_client_leaves_is_not_waited_for() -> None:
    server = Server()
    left = await begun(server.ask())
    server.drain_now()
    left.cancel()
    await asyncio.wait([left])
    assert server.in_flight.drained()
