"""What a client may take of the server beside its requests, over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import uvicorn
from prometheus_client import CollectorRegistry

from service.process.connections import ConnectionLimits, limit_connections
from service.telemetry.state_metrics import ConnectionMetrics
from tests.service.asynchronous import LoopClock, asynchronous
from tests.service.manual_executor import settle

# Nothing ends by itself unless a test asks for it.
PATIENT = ConnectionLimits(
    max_connections=100, max_header_bytes=2000, header_seconds=600, body_seconds=600, write_seconds=600
)
SHORT_SECONDS = 0.05
GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


async def answer(scope, receive, send):
    """Answer 200 without reading the body: `/large` and `/parts` with more than sockets hold, all else briefly."""
    length, parts = {"/large": (50_000_000, 1), "/parts": (50_000, 1000)}.get(scope["path"], (4, 1))
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
async def test_a_body_that_nobody_reads_must_end_in_time() -> None:
    async with served(replace(PATIENT, body_seconds=SHORT_SECONDS)) as server:
        reader, writer = await server.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000\r\n\r\n")
        assert await read_answer(reader) == b"fine"
        closed = asyncio.create_task(reader.read())
        while not closed.done():
            writer.write(b"a")
            await asyncio.sleep(SHORT_SECONDS / 10)
        assert server.ended("body_timeout") == 1
        writer.close()


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


@asynchronous
async def test_a_full_server_without_idle_connections_refuses_new_ones() -> None:
    async with served(replace(PATIENT, max_connections=2)) as server:
        busy = [await server.connect() for _ in range(2)]
        for _, writer in busy:
            writer.write(GET[:-5])
        # Until what they sent has been read they are idle, and make room.
        async with asyncio.timeout(30):
            while True:
                reader, writer = await server.connect()
                if server.ended("too_many") == 1:
                    break
                writer.close()
        await read_problem(reader, 503, "too_many_connections")
        writer.close()
        for reader, writer in busy:
            writer.write(GET[-5:])
            if not reader.at_eof():
                assert await read_answer(reader) == b"fine"
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
