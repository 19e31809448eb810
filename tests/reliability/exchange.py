"""Requests by hand over asyncio's streams: cheap, and in the test's power to the byte."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Address = tuple[str, int]
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request that was answered.

    Attributes:
        begun_at: On the monotonic clock.
        seconds: Until the whole answer was there.
        status: Of the answer.
        headers: By their names in lower case.
        body: Bytes of the answer.
    """

    begun_at: float
    seconds: float
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The kind of problem; empty if it is none."""
        return str(json.loads(self.body).get("code", "")) if self.status >= 400 else ""


def post(path: str, body: Mapping[str, Any]) -> bytes:
    """Return a request's bytes."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


def get(path: str) -> bytes:
    """Return a request's bytes."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


async def read_answer(reader: asyncio.StreamReader, begun_at: float) -> Exchange:
    """Read one answer.

    Raises:
        EOFError, OSError: The connection ended before it was complete.
    """
    status_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Exchange(begun_at, time.monotonic() - begun_at, int(status_line.split()[1]), headers, body)


async def ask(address: Address, request: bytes, patience_seconds: float = 120) -> Exchange:
    """Send a request over a connection of its own.

    Raises:
        EOFError, OSError, TimeoutError: There was no answer.
    """
    begun_at = time.monotonic()
    async with asyncio.timeout(patience_seconds):
        reader, writer = await asyncio.open_connection(*address)
        try:
            writer.write(request)
            return await read_answer(reader, begun_at)
        finally:
            writer.close()


async def ask_steadily(address: Address, request: bytes, stop: asyncio.Event, pause_seconds: float) -> list[Exchange]:
    """Ask again and again over one kept-alive connection, until told to stop.

    Raises:
        EOFError, OSError, TimeoutError: There was no answer.
    """
    reader, writer = await asyncio.open_connection(*address)
    exchanges = []
    try:
        while not stop.is_set():
            begun_at = time.monotonic()
            writer.write(request)
            async with asyncio.timeout(120):
                exchanges.append(await read_answer(reader, begun_at))
            await asyncio.sleep(pause_seconds)
    finally:
        writer.close()
    return exchanges
