"""Slow clients: they send headers or bodies a byte at a time, never read their answers, or do nothing at all.

While hundreds of them are connected, others must be served as quickly as without them, and each of the slow ones must
be cut off when its time is up: 408 where an answer can be given, a closed connection where not.
"""

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field

import uvloop

from tests.reliability.exchange import Address, Exchange, ask_steadily, get, post, read_answer
from tests.reliability.report import Report
from tests.reliability.served import Served, demo_server, percentile

MOST_OF_A_KIND = 150
GOOD_CLIENTS = 3
# With so many slow clients the good ones' 95th percentile may be so many times what it was, and this on top.
MOST_TIMES_SLOWER, SLACK_SECONDS = 3.0, 0.25
# The machine of a test is busy with other tests.
CUT_OFF_SLACK_SECONDS = 15.0
_TRICKLE_SECONDS = 0.25
_PAUSE_SECONDS = 0.02
# 1.4 MB, as many times as is more than what the kernel keeps for a client that does not read.
_LARGE = "/docs/assets/swagger-ui-bundle.js"
_PIPELINED = 10

_HEAD = b"POST /ner HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n"
_GOOD = post("/ner", {"text": "Ada Lovelace lives in London and works for Analytical Engines."})


@dataclass(slots=True)
class Outcome:
    """How slow clients ended, by kind: status or `closed`, and the longest time that one was tolerated."""

    ends: dict[str, Counter[str]] = field(default_factory=dict)
    longest: dict[str, float] = field(default_factory=dict)

    def note(self, kind: str, end: str, seconds: float) -> None:
        self.ends.setdefault(kind, Counter())[end] += 1
        self.longest[kind] = max(self.longest.get(kind, 0.0), seconds)


def run(scale: float) -> Report:
    """Connect slow clients, and watch both them and the others."""
    of_a_kind = max(10, round(MOST_OF_A_KIND * scale))
    limit = 10.0 if scale > 0.2 else 2.0
    with demo_server(
        warm_up_seconds=1,
        header_timeout_seconds=limit,
        body_timeout_seconds=limit,
        write_timeout_seconds=limit,
        keep_alive_seconds=round(limit),
    ) as server:
        return uvloop.run(_run(server, of_a_kind, limit))


async def _run(server: Served, of_a_kind: int, limit: float) -> Report:
    address = (server.host, server.port)
    alone = await _good_clients(address, asyncio.create_task(asyncio.sleep(limit)))
    outcome = Outcome()
    clients = {
        "slow headers": _slow_headers,
        "slow body": _slow_body,
        "slow body of an unknown path": _slow_body_of_an_unknown_path,
        "reads nothing": _reads_nothing,
        "sends nothing": _sends_nothing,
        "sends nothing more": _sends_nothing_more,
    }
    patience = limit + CUT_OFF_SLACK_SECONDS
    slow = [
        asyncio.create_task(_observe(outcome, kind, client(address), patience))
        for kind, client in clients.items()
        for _ in range(of_a_kind)
    ]
    among_slow = await _good_clients(address, asyncio.create_task(_all(slow)))

    failures = [
        f"{kind}: {count} were not cut off within {patience:g} s"
        for kind, ends in outcome.ends.items()
        if (count := ends["tolerated"])
    ]
    failures += [
        f"{kind}: {dict(outcome.ends[kind])}, expected {of_a_kind} times {end}"
        for kind, end in {"slow headers": "408", "slow body": "408", "sends nothing": "closed"}.items()
        if outcome.ends[kind] != {end: of_a_kind}
    ]
    normal, slowed = (percentile([one.seconds for one in some], 0.95) for some in (alone, among_slow))
    if slowed > normal * MOST_TIMES_SLOWER + SLACK_SECONDS:
        failures.append(f"good clients' 95th percentile went from {normal:.3f} to {slowed:.3f} s")
    failures += [f"a good client got {one.status}" for one in [*alone, *among_slow] if one.status != 200]
    failures += _counted(server, of_a_kind)
    return Report(
        area="slow_clients",
        inputs=len(slow) + len(alone) + len(among_slow),
        failures=tuple(failures),
        injected=len(slow),
        facts={
            "slow clients": f"{len(slow)}, {of_a_kind} of each kind",
            "cut off after at most": f"{max(outcome.longest.values()):.1f} s (limit {limit:g} s)",
            "good clients' p95 without and with them": f"{normal * 1000:.0f} and {slowed * 1000:.0f} ms",
            "good clients' answers": f"{len(alone) + len(among_slow):,}",
        },
    )


async def _all(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.gather(*tasks)


async def _good_clients(address: Address, until: asyncio.Task[None]) -> list[Exchange]:
    """Ask for as long as something takes."""
    stop = asyncio.Event()
    until.add_done_callback(lambda _: stop.set())
    asked = await asyncio.gather(
        *(ask_steadily(address, _GOOD, stop, _PAUSE_SECONDS) for _ in range(GOOD_CLIENTS)), until
    )
    return [exchange for exchanges in asked[:-1] for exchange in exchanges]


async def _observe(outcome: Outcome, kind: str, client: "asyncio.Future[str]", patience: float) -> None:
    begun_at = time.monotonic()
    try:
        async with asyncio.timeout(patience):
            end = await client
    except (OSError, EOFError):
        end = "closed"
    except TimeoutError:
        end = "tolerated"
    outcome.note(kind, end, time.monotonic() - begun_at)


def _counted(server: Served, of_a_kind: int) -> list[str]:
    """Compare what the server has counted with what was done to it."""
    expected = {"header_timeout": of_a_kind, "body_timeout": of_a_kind, "write_timeout": of_a_kind}
    failures = []
    for reason, count in expected.items():
        counted = server.total("bigbird_ended_connections_total", reason=reason)
        if counted != count:
            failures.append(f"{count} connections were to be ended for {reason}, counted {counted:.0f}")
    refused = server.total("bigbird_requests_total", endpoint="/ner", status="408")
    if refused != of_a_kind:
        failures.append(f"{of_a_kind} bodies were to be refused with 408, counted {refused:.0f}")
    if in_flight := server.total("bigbird_requests_in_flight") - 1:
        failures.append(f"{in_flight:.0f} requests are still in flight")
    return failures


# The kinds; each returns how it ended.


async def _trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """Send a byte now and then until there is an answer or an end."""
    answer = asyncio.create_task(read_answer(reader, time.monotonic()))
    try:
        while not answer.done():
            writer.write(b"a")
            await asyncio.wait([answer], timeout=_TRICKLE_SECONDS)
        exchange = answer.result()
        assert exchange.headers["content-type"] == "application/problem+json"
        assert json.loads(exchange.body)["status"] == exchange.status
        return str(exchange.status)
    finally:
        answer.cancel()
        writer.close()


async def _slow_headers(address: Address) -> str:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(_HEAD + b"X-Slow: ")
    return await _trickle(reader, writer)


async def _slow_body(address: Address) -> str:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(_HEAD + b"\r\n" + b'{"text": "')
    return await _trickle(reader, writer)


async def _slow_body_of_an_unknown_path(address: Address) -> str:
    """Go on sending a body that has been answered with 404 already."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(_HEAD.replace(b"/ner", b"/nowhere") + b"\r\n")
    await read_answer(reader, time.monotonic())
    return await _trickle(reader, writer)


async def _reads_nothing(address: Address) -> str:
    """Ask for much, read none of it, and wait for the reset."""
    _, writer = await asyncio.open_connection(*address)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    try:
        writer.write(get(_LARGE) * _PIPELINED)
        while not writer.transport.is_closing():
            await asyncio.sleep(_TRICKLE_SECONDS)
            # Only who writes hears of a reset.
            writer.write(b"\r\n")
        return "closed"
    finally:
        writer.transport.abort()


async def _sends_nothing(address: Address) -> str:
    reader, writer = await asyncio.open_connection(*address)
    await reader.read()
    writer.close()
    return "closed"


async def _sends_nothing_more(address: Address) -> str:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(get("/health/live"))
    await read_answer(reader, time.monotonic())
    return await _ended(reader, writer)


async def _ended(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    await reader.read()
    writer.close()
    return "closed"
