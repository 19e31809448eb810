"""Bytes on sockets: whatever is written into a connection, it ends, and the server serves everybody else as before.

After every few hundred inputs a good request must get the answer that it got at the start. Every answer must be
well-formed HTTP with a documented status; errors must be problems. A failure names the input's number, and
`python -m tests.reliability.raw_http NUMBER` sends it again.
"""

import asyncio
import contextlib
import json
import re
import socket
import struct
import sys
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from tests.reliability.fuzzed_server import FuzzedServer, fuzzed_server
from tests.reliability.raw_http_forms import FORMS, Attempt
from tests.reliability.report import Report

SEED = 20261120
_INPUTS = 26_000
_AT_ONCE = 48
_BETWEEN_PROBES = 400
# A client that has sent everything waits so long for an answer before it closes its side; answers take milliseconds.
_QUIET_SECONDS = 0.15
_BETWEEN_SEGMENTS = 0.01
# No connection may need longer to end, once its client has closed its side.
_HANG_SECONDS = 20.0
_MOST_ANSWERS_BYTES = 8 * 1024 * 1024
_MOST_GROWTH_BYTES = 150 * 1024 * 1024

_STATUSES = frozenset({100, 200, 304, 307, 400, 403, 404, 405, 408, 413, 415, 422, 429, 431, 503})
_HEAD = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n((?:[!-9;-~]+: [^\r\n]*\r\n)*)\r\n")


@dataclass(slots=True)
class _Outcome:
    """What has happened so far."""

    statuses: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def attempt(number: int) -> tuple[str, Attempt]:
    """Return the form and the bytes of an input; they depend on its number alone."""
    random = Random(f"{SEED} {number}")
    form = FORMS[number % len(FORMS)]
    return form.__name__, form(random)


def run(scale: float) -> Report:
    """Send the inputs, 26,000 at scale 1, over as many connections."""
    inputs = max(_BETWEEN_PROBES, round(_INPUTS * scale))
    outcome = _Outcome()
    with fuzzed_server() as server:
        before = server.resident_bytes()
        for first in range(0, inputs, _BETWEEN_PROBES):
            asyncio.run(_send_all(server, range(first, min(first + _BETWEEN_PROBES, inputs)), outcome))
            wrong = server.wrong_with_it()
            if wrong is not None:
                outcome.failures.append(f"inputs {first} to {first + _BETWEEN_PROBES} with seed {SEED}: {wrong}")
            if server.running.process.poll() is not None:
                break
        faults = server.faults_in_log()
        outcome.failures += [f"in the server's log: {line}" for line in faults]
        grown = server.resident_bytes() - before if server.running.process.poll() is None else 0
        if grown > _MOST_GROWTH_BYTES:
            outcome.failures.append(f"the server's memory has grown by {grown} bytes")
    return Report(
        area="raw_http",
        inputs=inputs,
        failures=tuple(outcome.failures),
        facts={
            "answers": ", ".join(f"{status}: {count}" for status, count in sorted(outcome.statuses.items())),
            "memory growth": f"{grown / 2**20:.0f} MiB",
        },
    )


async def _send_all(server: FuzzedServer, numbers: range, outcome: _Outcome) -> None:
    limit = asyncio.Semaphore(_AT_ONCE)

    async def send_one(number: int) -> None:
        async with limit:
            name, own = attempt(number)
            try:
                async with asyncio.timeout(_HANG_SECONDS):
                    received = await _send(server.port, own)
                found = _judge(own, received, outcome.statuses)
            except TimeoutError:
                found = f"the connection had not ended after {_HANG_SECONDS:.0f} s"
            if found is not None:
                outcome.failures.append(f"input {number} ({name}) with seed {SEED}: {found}")

    await asyncio.gather(*(send_one(number) for number in numbers))


async def _send(port: int, own: Attempt) -> bytes:
    """Write the bytes, read what comes, close; return everything that came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = bytearray()
    try:
        # Whoever is refused early may find the connection gone: that is an end, too.
        with contextlib.suppress(ConnectionError):
            if own.cut is not None:
                writer.write(own.payload[: own.cut])
                await asyncio.sleep(_BETWEEN_SEGMENTS)
            writer.write(own.payload[own.cut or 0 :])
            await writer.drain()
            if own.reset:
                endpoint: socket.socket = writer.get_extra_info("socket")
                endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return b""
            if own.complete:
                await _read_while_it_comes(reader, received, own)
            if not reader.at_eof():
                writer.write_eof()
                received += await reader.read(_MOST_ANSWERS_BYTES)
                while not reader.at_eof():
                    received += await reader.read(_MOST_ANSWERS_BYTES)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return bytes(received)


async def _read_while_it_comes(reader: asyncio.StreamReader, received: bytearray, own: Attempt) -> None:
    answers = len(own.statuses or ())
    while not reader.at_eof() and len(received) < _MOST_ANSWERS_BYTES:
        # Where the number of answers is known there is no need to guess when the last one has come.
        patience = _HANG_SECONDS if received.count(b"HTTP/1.1 ") < answers else _QUIET_SECONDS
        try:
            received += await asyncio.wait_for(reader.read(65_536), patience)
        except TimeoutError:
            return


def _judge(own: Attempt, received: bytes, seen: Counter[str]) -> str | None:
    """Return what is wrong with the answers, or None."""
    statuses, rest = [], received
    while rest:
        head = _HEAD.match(rest)
        if head is None:
            # The server cuts an answer off when its client has closed.
            return None if not own.complete or b"\r\n\r\n" not in rest else f"not HTTP: {rest[:200]!r}"
        status = int(head[1])
        length = re.search(rb"(?i)^content-length: (\d+)\r\n", head[2], re.MULTILINE)
        size = int(length[1]) if length else 0
        rest = rest[head.end() :]
        bodiless = status in (100, 304) or rest[:9] == b"HTTP/1.1 " or (not rest and size > 0)
        body, rest = (b"", rest) if bodiless else (rest[:size], rest[size:])
        if status != 100:
            statuses.append(status)
        seen[str(status)] += 1
        if status not in _STATUSES:
            return f"status {status}: {body[:200]!r}"
        if status >= 400 and len(body) == size > 0:
            wrong = _wrong_with_problem(status, head[2], body)
            if wrong is not None:
                return wrong
    if not statuses:
        seen["none"] += 1
    if own.statuses is not None and tuple(statuses) != own.statuses:
        return f"answers {statuses} instead of {list(own.statuses)}"
    if own.most_answers is not None and len(statuses) > own.most_answers:
        return f"{len(statuses)} answers, {statuses}, where at most {own.most_answers} belong"
    return None


def _wrong_with_problem(status: int, head: bytes, body: bytes) -> str | None:
    try:
        problem = json.loads(body)
        named = f"x-request-id: {problem['request_id']}\r\n".lower().encode()
        good = problem["status"] == status and problem["code"] and problem["detail"] and named in head.lower()
    except (ValueError, KeyError, TypeError):
        good = False
    return (
        None if good and b"application/problem+json" in head else f"status {status} without a problem: {body[:200]!r}"
    )


def main(number: int) -> None:
    """Send one input again and print what comes back."""
    name, own = attempt(number)
    with fuzzed_server() as server:
        print(name, own.payload[:2000], len(own.payload), asyncio.run(_send(server.port, own))[:4000], sep="\n")
        print(*server.faults_in_log(), sep="\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
