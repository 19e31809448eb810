"""One client process of a load run: sends its share of the traffic and notes how each request ended.

It reads no more of an answer than it must, because it runs on the cores of the server that it measures.
"""

import asyncio
import socket
import struct
import time
from dataclasses import dataclass, field

import uvloop

from tests.reliability.traffic import PlannedRequest, Traffic

# Answers of one request in so many are kept, to be compared with the answers alone.
SAMPLED = 100
# Nothing may take longer: the server's own deadline is 120 s.
_PATIENCE_SECONDS = 200.0
# After it has sent everything, a client leaves within this time.
_DEPARTURE_SECONDS = 0.05


@dataclass(slots=True)
class ClientRecord:
    """How requests ended.

    Attributes:
        statuses: By number; of those whose client left before it could know, there is none.
        lost: Requests that got no answer although their client waited, and why.
        answers: JSON of sampled answers, by number.
        seconds: How long answered requests took.
        processor_seconds: What the client itself took.
    """

    statuses: dict[int, int] = field(default_factory=dict)
    lost: dict[int, str] = field(default_factory=dict)
    answers: dict[int, bytes] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    processor_seconds: float = 0.0


class LoadClient:
    """Sends every so-many-th request over some connections, one after the other on each.

    Args:
        address: Host and port.
        traffic: All requests.
        first: Number of its first request.
        step: From one of its requests to its next.
        connections: How many it holds.
    """

    def __init__(self, address: tuple[str, int], traffic: Traffic, first: int, step: int, connections: int) -> None:
        self._address = address
        self._traffic = traffic
        self._numbers = iter(range(first, traffic.requests, step))
        self._connections = connections
        self.record = ClientRecord()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._connections):
                group.create_task(self._connection())

    async def _connection(self) -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        for number in self._numbers:
            request = self._traffic.request(number)
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    if connection is None:
                        connection = await asyncio.open_connection(*self._address)
                    keep = await self._send(request, *connection)
            except (OSError, EOFError, TimeoutError) as error:
                self.record.lost[number] = repr(error)
                keep = False
            if not keep and connection is not None:
                _close(connection[1], number)
                connection = None
        if connection is not None:
            connection[1].close()

    async def _send(self, request: PlannedRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Send a request and note how it ended; return whether the connection can be used again."""
        head = (
            f"{request.method} {request.path} HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: {request.request_id}\r\n"
            f"Content-Type: {request.content_type}\r\nContent-Length: {len(request.body)}\r\n\r\n"
        ).encode()
        if request.departure in ("in the headers", "in the body"):
            part, rest = (head, b"") if request.departure == "in the headers" else (request.body, head)
            # Never the whole of it; of a body perhaps nothing.
            writer.write(rest + part[: int(request.share * (len(part) - 1))])
            await asyncio.sleep(0)
            return False
        begun_at = time.perf_counter()
        writer.write(head + request.body)
        if request.departure == "after sending":
            await asyncio.sleep(request.share * _DEPARTURE_SECONDS)
            return False
        if request.departure == "while reading":
            self.record.statuses[request.number] = _status(await reader.readuntil(b"\r\n"))
            return False
        answer_head = await reader.readuntil(b"\r\n\r\n")
        headers = answer_head.lower()
        body = await reader.readexactly(int(headers.partition(b"content-length:")[2].split(b"\r\n", 1)[0]))
        self.record.seconds.append(time.perf_counter() - begun_at)
        status = _status(answer_head)
        self.record.statuses[request.number] = status
        if status == 200 and request.number % SAMPLED == 0:
            self.record.answers[request.number] = body
        return b"connection: close" not in headers


def _status(head: bytes) -> int:
    return int(head.split(b" ", 2)[1])


def _close(writer: asyncio.StreamWriter, number: int) -> None:
    """Leave: half of them properly, the others with a reset."""
    if number % 2:
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.close()


def run_client(address: tuple[str, int], traffic: Traffic, first: int, step: int, connections: int) -> ClientRecord:
    """Run one client, as the whole work of a process."""
    client = LoadClient(address, traffic, first, step, connections)
    uvloop.run(client.run())
    client.record.processor_seconds = time.process_time()
    return client.record
