"""A load generator that costs little: prepared requests over kept-alive connections, answers hardly read.

It runs in a process of its own. It sends bytes that were made before the clock started and looks at nothing but the
status and the length of what comes back, so its own processor time, which it reports, stays a few percent of a core.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count


@dataclass(frozen=True, slots=True)
class Load:
    """What became of a number of requests.

    Attributes:
        seconds: From the first request to the last answer.
        latencies: Seconds of each request, in the order of the requests.
        processor_seconds: Processor time of this generator.
    """

    seconds: float
    latencies: list[float]
    processor_seconds: float


class LoadGenerator:
    """Sends requests to one server.

    Args:
        host: Where it listens.
        port: Its port.
        path: Where to post.
        bodies: JSON of each request.
    """

    def __init__(self, host: str, port: int, path: str, bodies: Sequence[bytes]) -> None:
        self._host = host
        self._port = port
        head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\nContent-Length: "
        self._requests = [head.encode() + str(len(body)).encode() + b"\r\n\r\n" + body for body in bodies]

    def closed_loop(self, connections: int) -> Load:
        """Send every request once; each connection has one request under way at any time."""
        return asyncio.run(self._closed_loop(connections))

    def one_by_one(self, number: int) -> float:
        """Send one request to an idle server over a connection that is open already, and return its seconds."""
        return asyncio.run(self._one(self._requests[number]))

    async def _closed_loop(self, connections: int) -> Load:
        latencies = [0.0] * len(self._requests)
        numbers = count()

        async def client() -> None:
            reader, writer = await asyncio.open_connection(self._host, self._port)
            try:
                while (number := next(numbers)) < len(self._requests):
                    latencies[number] = await _exchange(reader, writer, self._requests[number])
            finally:
                writer.close()
                await writer.wait_closed()

        processor_start, start = time.process_time(), time.perf_counter()
        async with asyncio.TaskGroup() as clients:
            for _ in range(connections):
                clients.create_task(client())
        return Load(time.perf_counter() - start, latencies, time.process_time() - processor_start)

    async def _one(self, request: bytes) -> float:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            await _exchange(reader, writer, b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return await _exchange(reader, writer, request)
        finally:
            writer.close()
            await writer.wait_closed()


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> float:
    """Send a request, read its answer and return the seconds this took.

    Raises:
        RuntimeError: The answer is not 200.
    """
    start = time.perf_counter()
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
    answer = await reader.readexactly(length)
    seconds = time.perf_counter() - start
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise RuntimeError(f"the server answered {head.splitlines()[0].decode()}: {answer.decode(errors='replace')}")
    return seconds
