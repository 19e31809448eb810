"""What a client may take of the server beside its requests, over real sockets."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import uvicorn
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException

from service.api.problems import http_problem_response
from service.api.request_context import REQUEST_ID_HEADER
from service.process.connections import ConnectionLimits, limit_connections
from service.process.room import HEADROOM, MOST_BESIDE_LIMIT
from service.telemetry.state_metrics import ConnectionMetrics
from tests.service.asynchronous import LoopClock, asynchronous
from tests.service.manual_executor import settle

# Nothing ends by itself unless a test asks for it.
PATIENT = ConnectionLimits(max_connections=100, max_header_bytes=2000, header_seconds=600, write_seconds=600)
SHORT_SECONDS = 0.05
GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


PROBE = GET.replace(b"/", b"/health/live", 1)
UPLOAD = b"POST /read HTTP/1.1\r\nHost: here\r\nContent-Length: 100000\r\n\r\n"
CHUNKED = b"POST /read HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"


async def answer(scope, receive, send):
    """Answer 200 without reading the body: `/large` and `/parts` with more than sockets hold, all else briefly.

    `/read` reads the body before, and `/wait` waits until its client has gone.
    """
    if scope["path"] in ("/read", "/wait"):
        try:
            while (message := await receive())["type"] == "http.request":
                if scope["path"] == "/read" and not message["more_body"]:
                    break
        except HTTPException as refusal:
            response = http_problem_response("of-this-test", refusal)
            response.headers[REQUEST_ID_HEADER] = "of-this-test"
            await response(scope, receive, send)
            return
        # Not "fine" if a trailer has become a header.
        assert not [name for name, _ in scope["headers"] if name == b"x-trailer"]
    large = {"/large": (50_000_000, 1), "/metrics": (10_000_000, 1), "/parts": (50_000, 1000)}
    length, parts = large.get(scope["path"], (4, 1))
    headers = [(b"content-length", str(length * parts).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for part in range(parts):
        body = b"fine" if length == 4 else b"x" * length
        await send({"type": "http.response.body", "body": body, "more_body": part + 1 < parts})


class Served:
    """A server and the means to look at it."""

    def __init__(self, server: uvicorn.Server, registry: CollectorRegistry) -> None:
        self._server = server
        self._registry = registry

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self._server.servers[0].sockets[0].getsockname())

    def ended(self, reason: str) -> float | None:
        return self._registry.get_sample_value("bigbird_ended_connections_total", {"reason": reason})

    def open(self) -> float | None:
        return self._registry.get_sample_value("bigbird_connections")


@asynccontextmanager
async def served(limits: ConnectionLimits) -> AsyncIterator[Served]:
    registry = CollectorRegistry()
    protocol = limit_connections(limits, ConnectionMetrics(registry))
    config = uvicorn.Config(
        answer, port=0, http=protocol, ws="none", lifespan="off", log_config=None, timeout_keep_alive=600
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield Served(server, registry)
    finally:
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        server.servers[0].close()
        await server.servers[0].wait_closed()


async def read_problem(reader: asyncio.StreamReader, status: int, code: str) -> dict[str, object]:
    """Read to the end of the connection: one problem and nothing else."""
    async with asyncio.timeout(30):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), head
    assert b"content-type: application/problem+json" in head.lower()
    assert b"connection: close" in head.lower()
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["request_id"].encode() in head
    return problem


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(30):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        return await reader.readexactly(4)


async def until(condition) -> None:
    """Let the event loop turn until something is so."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


@asynchronous
async def test_headers_that_do_not_come_in_time_are_refused() -> None:
    async with served(replace(PATIENT, header_seconds=SHORT_SECONDS)) as server:
        reader, writer = await server.connect()
        writer.write(GET[:-5])
        await read_problem(reader, 408, "request_timeout")
        assert server.ended("header_timeout") == 1
        writer.close()


@asynchronous
async def test_a_new_connection_that_sends_nothing_is_closed_after_the_time_for_headers() -> None:
    async with served(replace(PATIENT, header_seconds=SHORT_SECONDS)) as server:
        reader, writer = await server.connect()
        async with asyncio.timeout(30):
            assert await reader.read() == b""
        assert server.ended("idle") == 1
        writer.close()


@asynchronous
async def test_bytes_now_and_then_do_not_make_the_time_for_headers_longer() -> None:
    async with served(replace(PATIENT, header_seconds=SHORT_SECONDS)) as server:
        reader, writer = await server.connect()
        writer.write(GET[:-5])
        answered = asyncio.create_task(read_problem(reader, 408, "request_timeout"))
        while not answered.done():
            writer.write(b"a")
            await asyncio.sleep(SHORT_SECONDS / 10)
        await answered
        writer.close()


@pytest.mark.parametrize("before", [b"", GET], ids=["a new connection", "a connection that had an answer"])
@asynchronous
async def test_line_ends_are_no_request_and_end_with_the_time_for_headers(before: bytes) -> None:
    async with served(replace(PATIENT, header_seconds=SHORT_SECONDS)) as server:
        reader, writer = await server.connect()
        if before:
            writer.write(before)
            await read_answer(reader)
        writer.write(b"\r\n")
        async with asyncio.timeout(30):
            assert await reader.read() == b""
        assert server.ended("idle") == 1
        writer.close()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: here\r\nX: " + b"a" * 3000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 500 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: here\r\nX: " + b"a" * 3000,
        b"\r\n" * 1500,
    ],
    ids=["a long path", "a long header", "many headers", "a header that does not end", "nothing but line ends"],
)
@asynchronous
async def test_headers_that_are_too_large_are_refused(head: bytes) -> None:
    async with served(PATIENT) as server:
        reader, writer = await server.connect()
        writer.write(head)
        await read_problem(reader, 431, "headers_too_large")
        assert server.ended("header_size") == 1
        writer.close()


@asynchronous
async def test_trailers_count_as_headers() -> None:
    async with served(PATIENT) as server:
        reader, writer = await server.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n")
        await read_answer(reader)
        writer.write(b"0\r\n" + b"a: b\r\n" * 500)
        await read_problem(reader, 431, "headers_too_large")
        writer.close()


@asynchronous
async def test_headers_of_usual_size_leave_no_trace_in_the_next_request() -> None:
    async with served(PATIENT) as server:
        reader, writer = await server.connect()
        for _ in range(5):
            writer.write(b"GET / HTTP/1.1\r\nHost: here\r\nX: " + b"a" * 1500 + b"\r\n\r\n")
            assert await read_answer(reader) == b"fine"
        assert server.ended("header_size") == 0
        writer.close()


@asynchronous
async def test_what_is_not_http_is_refused_with_a_problem() -> None:
    async with served(PATIENT) as server:
        reader, writer = await server.connect()
        writer.write(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
        await read_problem(reader, 400, "malformed_request")
        assert server.ended("malformed") == 1
        writer.close()


@asynchronous
async def test_the_rest_of_a_body_that_is_answered_already_has_a_second() -> None:
    async with served(PATIENT) as server:
        clock = LoopClock()
        reader, writer = await server.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000\r\n\r\n")
        assert await read_answer(reader) == b"fine"
        clock.advance(0.9)
        writer.write(b"a")
        await settle()
        assert server.ended("body_timeout") == 0
        clock.advance(0.2)
        await settle()
        assert server.ended("body_timeout") == 1
        assert await reader.read() == b""
        writer.close()


@asynchronous
async def test_a_body_behind_a_request_that_is_answered_has_its_own_time() -> None:
    async with served(PATIENT) as server:
        clock = LoopClock()
        reader, writer = await server.connect()
        writer.write(GET + UPLOAD)
        assert await read_answer(reader) == b"fine"
        clock.advance(5)
        await settle()
        clock.release()
        writer.write(b"a" * 100_000)
        assert await read_answer(reader) == b"fine"
        writer.close()


@pytest.mark.parametrize(
    "rest",
    [b"five\r\nhello\r\n", b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n", b"5\r\nhello!!"],
    ids=["a size that is not a number", "a length in a trailer", "a chunk longer than its size"],
)
@asynchronous
async def test_a_body_that_is_not_http_is_refused_at_once(rest: bytes) -> None:
    async with served(PATIENT) as server:
        reader, writer = await server.connect()
        writer.write(CHUNKED)
        await settle()
        writer.write(rest)
        await read_problem(reader, 400, "malformed_request")
        assert server.ended("malformed") == 1
        writer.close()


@asynchronous
async def test_a_body_that_is_not_http_behind_another_request_leaves_that_one_its_answer() -> None:
    async with served(PATIENT) as server:
        reader, writer = await server.connect()
        writer.write(GET + CHUNKED + b"five\r\n")
        assert await read_answer(reader) == b"fine"
        async with asyncio.timeout(30):
            assert await reader.read() == b""
        writer.close()


@asynchronous
async def test_a_trailer_is_no_header() -> None:
    async with served(PATIENT) as server:
        reader, writer = await server.connect()
        writer.write(CHUNKED + b"5\r\nhello\r\n0\r\nX-Trailer: a\r\n\r\n")
        assert await read_answer(reader) == b"fine"
        writer.close()


@asynchronous
async def test_a_head_that_is_http_but_not_served_is_told_why() -> None:
    async with served(PATIENT) as server:
        reader, writer = await server.connect()
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        problem = await read_problem(reader, 400, "malformed_request")
        assert problem["detail"] == "The request has no Host header; send one."
        writer.close()


@asynchronous
async def test_garbage_writes_nothing_into_the_log() -> None:
    """By a handler of its own: what pytest catches is not what a filter or a level of uvicorn's would leave."""
    heard: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = heard.append  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        async with served(PATIENT) as server:
            for _ in range(100):
                reader, writer = await server.connect()
                writer.write(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
                await read_problem(reader, 400, "malformed_request")
                writer.close()
    finally:
        logging.getLogger().removeHandler(handler)
    assert [record.getMessage() for record in heard if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("path", [b"/large", b"/parts"], ids=["an answer in one piece", "an answer in parts"])
@asynchronous
async def test_a_client_that_does_not_read_its_answer_is_cut_off(path: bytes) -> None:
    async with served(replace(PATIENT, write_seconds=SHORT_SECONDS)) as server:
        _, writer = await server.connect()
        writer.transport.pause_reading()
        writer.write(GET.replace(b"/", path, 1))
        await until(lambda: server.ended("write_timeout") == 1)
        await until(lambda: server.open() == 0)
        writer.close()


@pytest.mark.parametrize("path", [b"/large", b"/parts"], ids=["an answer in one piece", "an answer in parts"])
@asynchronous
async def test_a_client_that_reads_slowly_but_steadily_gets_its_answer(path: bytes) -> None:
    """A fifth of it in each time in which it must read something, which is more than sockets hold."""
    async with served(replace(PATIENT, write_seconds=100)) as server:
        clock = LoopClock()
        reader, writer = await server.connect()
        writer.write(GET.replace(b"/", path, 1))
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(5):
            await reader.readexactly(10_000_000)
            clock.advance(101)
            await settle()
            assert server.ended("write_timeout") == 0
        writer.close()


@asynchronous
async def test_a_full_server_closes_the_connection_that_was_idle_longest() -> None:
    async with served(replace(PATIENT, max_connections=2)) as server:
        oldest, oldest_writer = await server.connect()
        oldest_writer.write(GET)
        await read_answer(oldest)
        younger, younger_writer = await server.connect()
        younger_writer.write(GET)
        await read_answer(younger)
        newest, newest_writer = await server.connect()
        async with asyncio.timeout(30):
            assert await oldest.read() == b""
        for reader, writer in ((younger, younger_writer), (newest, newest_writer)):
            writer.write(GET)
            assert await read_answer(reader) == b"fine"
            writer.close()
        assert server.ended("idle") == 1
        oldest_writer.close()


async def connect_and_send(server: Served, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection once the server has read what was sent over it."""
    before = server.open()
    reader, writer = await server.connect()
    writer.write(data)
    await until(lambda: server.open() == before + 1)
    await settle()
    return reader, writer


@asynchronous
async def test_a_full_server_answers_probes_and_refuses_all_else() -> None:
    async with served(replace(PATIENT, max_connections=2)) as server:
        busy = [await connect_and_send(server, GET.replace(b"/", b"/wait", 1)) for _ in range(2)]
        for _ in range(3):
            reader, writer = await server.connect()
            writer.write(PROBE)
            assert await read_answer(reader) == b"fine"
            assert await reader.read() == b""
            writer.close()
            reader, writer = await server.connect()
            writer.write(GET)
            await read_problem(reader, 503, "too_many_connections")
            writer.close()
        assert server.ended("too_many") == 3
        for _, writer in busy:
            writer.close()


@pytest.mark.parametrize(
    ("seconds_of_the_first", "bytes_of_the_first", "first_goes"),
    [(2, 10, True), (2, 3 * 16 * 1024, False)],
    ids=["the older of two that stand still", "the younger one if the older is not slow"],
)
@asynchronous
async def test_in_a_full_server_the_slowest_unfinished_body_gives_way(
    seconds_of_the_first: int, bytes_of_the_first: int, first_goes: bool
) -> None:
    async with served(replace(PATIENT, max_connections=2)) as server:
        clock = LoopClock()
        first = await connect_and_send(server, UPLOAD + b"a" * bytes_of_the_first)
        clock.advance(seconds_of_the_first)
        second = await connect_and_send(server, UPLOAD + b"a" * 10)
        clock.release()
        newest, newest_writer = await server.connect()
        newest_writer.write(GET)
        assert await read_answer(newest) == b"fine"
        going, staying = (first, second) if first_goes else (second, first)
        await read_problem(going[0], 503, "too_many_connections")
        staying[1].write(b"a" * (100_000 - (10 if first_goes else bytes_of_the_first)))
        assert await read_answer(staying[0]) == b"fine"
        for _, writer in ((newest, newest_writer), first, second):
            writer.close()


@asynchronous
async def test_bodies_that_were_refused_give_way_before_an_upload_however_slow() -> None:
    async with served(replace(PATIENT, max_connections=4)) as server:
        clock = LoopClock()
        slow, slow_writer = await connect_and_send(server, UPLOAD + b"a")
        clock.advance(10)
        refused = [await connect_and_send(server, UPLOAD.replace(b"/read", b"/")) for _ in range(3)]
        for reader, _ in refused:
            await read_answer(reader)
        clock.release()
        for _ in range(3):
            reader, writer = await server.connect()
            writer.write(GET)
            assert await read_answer(reader) == b"fine"
            writer.close()
        assert server.ended("too_many") == 0
        slow_writer.write(b"a" * 99_999)
        assert await read_answer(slow) == b"fine"
        for _, writer in (*refused, (slow, slow_writer)):
            writer.close()


@pytest.mark.parametrize(
    "opening",
    [lambda: GET[:-5], lambda: GET.replace(b"/", b"/metrics", 1)],
    ids=["heads that do not end", "probes whose answers nobody reads"],
)
@asynchronous
async def test_more_clients_than_there_may_be_keep_nobody_from_asking_for_health(opening: Callable[[], bytes]) -> None:
    async with served(replace(PATIENT, max_connections=2)) as server:
        attackers = []
        for _ in range(2 + MOST_BESIDE_LIMIT):
            reader, writer = await server.connect()
            writer.transport.pause_reading()
            writer.write(opening())
            attackers.append(writer)
            await settle()
        gone = ("idle", "body_timeout", "too_many")
        await until(lambda: sum(server.ended(reason) or 0 for reason in gone) >= len(attackers) - 2 - HEADROOM)
        reader, writer = await server.connect()
        writer.write(PROBE)
        assert await read_answer(reader) == b"fine"
        for attacker in (*attackers, writer):
            attacker.close()


@asynchronous
async def test_refused_connections_that_stay_are_few() -> None:
    async with served(PATIENT) as server:
        LoopClock()  # nobody's moment passes
        refused = []
        for _ in range(MOST_BESIDE_LIMIT + 20):
            _, writer = await server.connect()
            writer.write(b"\x00\r\n\r\n")
            refused.append(writer)
            await settle()
        assert server.ended("malformed") == MOST_BESIDE_LIMIT + 20
        assert server.open() == MOST_BESIDE_LIMIT - HEADROOM
        for writer in refused:
            writer.close()


@asynchronous
async def test_the_answer_to_an_earlier_request_comes_before_the_end_of_the_connection() -> None:
    async with served(PATIENT) as server:
        reader, writer = await server.connect()
        writer.write(GET + b"not http at all\r\n\r\n")
        assert await read_answer(reader) == b"fine"
        async with asyncio.timeout(30):
            assert await reader.read() == b""
        writer.close()


@asynchronous
async def test_requests_without_number_in_one_packet_are_not_all_taken() -> None:
    async with served(PATIENT) as server:
        reader, writer = await server.connect()
        writer.write(GET * 1500)
        async with asyncio.timeout(30):
            answers = (await reader.read()).count(b"fine")
        assert 1 <= answers < 1500
        assert server.ended("pipelining") == 1
        writer.close()


@asynchronous
async def test_open_connections_are_counted() -> None:
    async with served(PATIENT) as server:
        _, first = await server.connect()
        _, second = await server.connect()
        await until(lambda: server.open() == 2)
        first.close()
        await until(lambda: server.open() == 1)
        second.close()
        await until(lambda: server.open() == 0)
