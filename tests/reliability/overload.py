"""Overload: ten times what the server can do, for a minute.

What it cannot do it must refuse at once, with a `Retry-After` that makes sense; what it accepts it must answer within
the deadline; it must not hold more and more memory; and five seconds after the flood it must be as quick as before.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import uvloop

from tests.reliability.exchange import Address, Exchange, ask, ask_steadily, post
from tests.reliability.report import Report
from tests.reliability.served import MemoryWatch, Served, demo_server, percentile
from tests.reliability.traffic import make_document

TIMES_CAPACITY = 10
SECONDS = 60.0
CAPACITY_SECONDS = 8.0
NORMAL_SECONDS = 4.0
DOCUMENT_TOKENS = 1800
MAX_QUEUED_ITEMS = 16
# Of the flood's requests: so many times what the full queue takes, and no less than this.
TIMES_THE_QUEUE, LEAST_TIMEOUT_SECONDS = 4.0, 5.0
RECOVERY_SECONDS = 5.0
# After the first part of the flood, in which batches become as large as they ever do.
MOST_GROWTH = 0.1
MOST_GROWTH_OF_A_SHORT_RUN = 0.5
_SETTLED = 0.25
# Normal again is at most so many times the 95th percentile before, and this on top.
MOST_TIMES_SLOWER, SLACK_SECONDS = 2.0, 0.1
_DOCUMENTED = {200, 429, 504}
# Of an open connection that finds no more room in the kernel's queue there is no answer to expect.
_MOST_OPEN = 3000


@dataclass(frozen=True, slots=True)
class Flood:
    """What became of the flood's requests."""

    exchanges: list[Exchange]
    lost: list[str]
    seconds: float
    ended_at: float
    after: list[Exchange]


def run(scale: float) -> Report:
    """Measure the capacity, flood the server, and watch it recover."""
    seconds = max(6.0, SECONDS * scale)
    share = min(1.0, max(scale, 0.25))
    with demo_server(
        warm_up_seconds=2, max_queued_items=MAX_QUEUED_ITEMS, log_level="warning", max_connections=4 * _MOST_OPEN
    ) as server:
        return uvloop.run(_run(server, seconds, share))


async def _run(server: Served, seconds: float, share: float) -> Report:
    address = (server.host, server.port)
    document = make_document(0, DOCUMENT_TOKENS)
    patient = {"text": json.loads(document.text)}
    normal = await _steadily(address, post("/classify", patient), 1, NORMAL_SECONDS * share)
    usual = percentile([one.seconds for one in normal], 0.95)
    capacity_seconds = CAPACITY_SECONDS * share
    busy = await _steadily(address, post("/classify", patient), MAX_QUEUED_ITEMS, capacity_seconds)
    capacity = len(busy) / (max(one.begun_at + one.seconds for one in busy) - min(one.begun_at for one in busy))
    queue_seconds = MAX_QUEUED_ITEMS / capacity
    timeout = max(TIMES_THE_QUEUE * queue_seconds, LEAST_TIMEOUT_SECONDS)
    hurried = post("/classify", {**patient, "timeout_ms": round(timeout * 1000)})
    admitted_before = server.total("bigbird_admitted_requests_total", endpoint="/classify")
    with MemoryWatch(server, seconds=0.2) as memory:
        flood = await _flood(
            address,
            hurried,
            TIMES_CAPACITY * capacity,
            seconds,
            lambda: _steadily(address, hurried, 1, RECOVERY_SECONDS + queue_seconds + NORMAL_SECONDS * share),
        )
    recovery = _recovery_seconds(flood.after, flood.ended_at, usual)

    statuses = Counter(exchange.status for exchange in flood.exchanges)
    answered = [exchange.seconds for exchange in flood.exchanges if exchange.status == 200]
    waits = [exchange.headers.get("retry-after", "") for exchange in flood.exchanges if exchange.status == 429]
    admitted = server.total("bigbird_admitted_requests_total", endpoint="/classify") - admitted_before
    admitted -= sum(exchange.status == 200 for exchange in flood.after)
    growth = memory.growth(_SETTLED)
    failures = [f"no answer: {error}" for error in flood.lost[:5]]
    failures += [f"answered {status}" for status in set(statuses) - _DOCUMENTED]
    if not statuses[429] or not answered:
        failures.append(f"this was no overload: {dict(statuses)}")
    if not all(wait.isdigit() and 1 <= int(wait) <= 60 for wait in waits):
        failures.append(f"Retry-After was {sorted(set(waits))}")
    in_time = sum(one <= timeout for one in answered)
    if in_time < 0.95 * admitted:
        failures.append(f"of {admitted:.0f} accepted requests {in_time} were answered within their deadline")
    if growth > (MOST_GROWTH if share == 1 else MOST_GROWTH_OF_A_SHORT_RUN):
        failures.append(f"resident memory grew by {growth:.0%}")
    if recovery is None or recovery > RECOVERY_SECONDS + (0 if share == 1 else queue_seconds):
        failures.append(f"not back to normal within {RECOVERY_SECONDS:g} s, but {recovery} s (usual {usual:.2f} s)")
    return Report(
        area="overload",
        inputs=len(flood.exchanges) + len(flood.lost),
        failures=tuple(failures),
        lost=len(flood.lost),
        facts={
            "capacity": f"{capacity:.0f} requests/s",
            "offered": f"{(len(flood.exchanges) + len(flood.lost)) / flood.seconds:.0f} requests/s for {seconds:.0f} s",
            "answers": ", ".join(f"{status}: {count:,}" for status, count in sorted(statuses.items())),
            "Retry-After": f"{min(waits, key=int, default='')} to {max(waits, key=int, default='')} s" if waits else "",
            "accepted, p95": f"{percentile(answered, 0.95):.2f} s, deadline {timeout:.1f} s",
            "memory growth": f"{growth:+.0%}",
            "worst recovery": "none" if recovery is None else f"{recovery:.1f} s",
        },
    )


async def _steadily(address: Address, request: bytes, clients: int, seconds: float) -> list[Exchange]:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, stop.set)
    asked = await asyncio.gather(*(ask_steadily(address, request, stop, 0) for _ in range(clients)))
    return [exchange for exchanges in asked for exchange in exchanges]


async def _flood(
    address: Address,
    request: bytes,
    rate: float,
    seconds: float,
    afterwards: Callable[[], Coroutine[Any, Any, list[Exchange]]],
) -> Flood:
    """Ask at a rate, whatever becomes of it, and then afterwards, while the last of it is still being answered."""
    lost: list[str] = []
    exchanges: list[Exchange] = []
    asking: set[asyncio.Task[None]] = set()

    async def one() -> None:
        try:
            exchanges.append(await ask(address, request))
        except (OSError, EOFError, TimeoutError) as error:
            lost.append(repr(error))

    begun_at = time.monotonic()
    sent = 0
    while (now := time.monotonic() - begun_at) < seconds:
        while sent < rate * now and len(asking) < _MOST_OPEN:
            task = asyncio.create_task(one())
            asking.add(task)
            task.add_done_callback(asking.discard)
            sent += 1
        await asyncio.sleep(0.002)
    ended_at = time.monotonic()
    after, *_ = await asyncio.gather(afterwards(), *asking)
    return Flood(exchanges, lost, ended_at - begun_at, ended_at, after)


def _recovery_seconds(after: list[Exchange], ended_at: float, usual: float) -> float | None:
    """Return how long after the flood requests began to take what they usually take, and went on so; None: never."""
    bound = usual * MOST_TIMES_SLOWER + SLACK_SECONDS
    ordered = sorted(after, key=lambda one: one.begun_at)
    slow = [one for one in ordered if one.status != 200 or one.seconds > bound]
    if not slow:
        return 0.0
    if slow[-1] is ordered[-1]:
        return None
    return slow[-1].begun_at + slow[-1].seconds - ended_at
