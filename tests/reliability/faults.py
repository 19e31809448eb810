"""Faults while serving: runs that fail, are slow, hang, find no memory or give no numbers, and devices that die.

While steady clients ask for documents whose answers are known, documents that carry a fault come in between. Whatever
the fault, every request must end with a documented status, the steady clients' answers must be right, and in the end
the server must serve as before, or say that it cannot (`/health/live` 503), so that it is restarted.
"""

import asyncio
import json
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import uvloop

from tests.reliability import faulty_server as fault
from tests.reliability.exchange import Address, Exchange, ask, get, post
from tests.reliability.report import Report
from tests.reliability.served import Served, served

ROUNDS = 40
STEADY_CLIENTS = 6
DOCUMENTED = (200, 429, 500, 503, 504)
# The run is stuck after `fault.STUCK_SECONDS`; the rest is for a machine that does other things as well.
PATIENCE_SECONDS = 30.0
_LOOK_SECONDS = 0.02

# What a document with this fault gets when it comes alone; its neighbours get their answers.
ENDS_ALONE = {
    fault.FAILS: 500,
    fault.NO_ROOM_FOR_TWO: 200,
    fault.NO_ROOM: 500,
    fault.EXHAUSTED: 500,
    fault.NOT_A_NUMBER: 500,
    fault.INFINITE: 500,
}


@dataclass(slots=True)
class Findings:
    """What happened in a scenario.

    Attributes:
        failures: Broken promises.
        injected: How many faults there were.
        statuses: How all requests ended.
        lost: Requests without an end.
        wrong: Steady clients' answers that were not right.
        recoveries: Seconds from a fault to the first right answer after it.
    """

    failures: list[str] = field(default_factory=list)
    injected: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    lost: int = 0
    wrong: int = 0
    recoveries: list[float] = field(default_factory=list)

    def expect(self, is_so: bool, what: str) -> None:
        if not is_so:
            self.failures.append(what)


class Scenario:
    """A server with steady clients, into which a scenario sends its faults.

    Args:
        server: The server.
        findings: Where everything is noted.
    """

    def __init__(self, server: Served, findings: Findings) -> None:
        self.server = server
        self.address: Address = (server.host, server.port)
        self.findings = findings
        self._stop = asyncio.Event()
        self._random = random.Random(7)
        self.last_right_at = 0.0

    async def ask(self, *words: int, timeout_ms: int | None = None) -> Exchange | None:
        """Send a document and note how it ends; None if it does not."""
        body: dict[str, Any] = {"text": " ".join(map(str, words))}
        return await self._post(body if timeout_ms is None else {**body, "timeout_ms": timeout_ms})

    async def inject_among_others(self, word: int) -> Exchange | None:
        """Send a list of documents of which one has a fault."""
        self.findings.injected += 1
        return await self._post({"text": ["10", "20", f"30 {word}", "40"]})

    async def _post(self, body: Mapping[str, Any]) -> Exchange | None:
        request = post("/classify", body)
        try:
            exchange = await ask(self.address, request, PATIENCE_SECONDS)
        except (OSError, EOFError, TimeoutError) as error:
            self.findings.lost += 1
            self.findings.failures.append(f"a request has no end: {error!r}")
            return None
        self.findings.statuses[exchange.status] += 1
        self.findings.expect(exchange.status in DOCUMENTED, f"a request was answered {exchange.status}")
        return exchange

    async def inject(self, word: int, **options: int) -> Exchange | None:
        """Send a document with a fault."""
        self.findings.injected += 1
        return await self.ask(10, word, **options)

    async def steadily(self) -> None:
        """Ask for documents whose answers are known, until the scenario has ended."""
        while not self._stop.is_set():
            words = [self._random.randrange(10, 600) for _ in range(self._random.randrange(1, 6))]
            exchange = await self.ask(*words)
            if exchange is None:
                return
            if exchange.status == 200:
                self.last_right_at = time.monotonic()
                # Between the ids 1 and 2 of the beginning and the end.
                if json.loads(exchange.body)["score"] != sum(words) + 3:
                    self.findings.wrong += 1
                    self.findings.failures.append(f"a wrong answer for {words}")
            else:
                await asyncio.sleep(_LOOK_SECONDS)

    async def status(self, path: str) -> int:
        return (await ask(self.address, get(path), PATIENCE_SECONDS)).status

    async def until(self, what: str, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait until something is so."""
        ends_at = time.monotonic() + PATIENCE_SECONDS
        while not await condition():
            if time.monotonic() > ends_at:
                self.findings.failures.append(f"not within {PATIENCE_SECONDS:g} s: {what}")
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def until_served_again(self, since: float) -> None:
        """Wait for a right answer and note how long it took."""

        async def answered() -> bool:
            return self.last_right_at > since

        await self.until("a right answer after the fault", answered)
        self.findings.recoveries.append(self.last_right_at - since)

    async def live(self, expected: int) -> None:
        async def is_so() -> bool:
            return await self.status("/health/live") == expected

        await self.until(f"/health/live {expected}", is_so)

    def metric(self, name: str, **labels: str) -> float:
        return self.server.total(name, **labels)

    def finish(self) -> None:
        self._stop.set()


Play = Callable[[Scenario, int], Awaitable[None]]


async def failing_runs(scenario: Scenario, rounds: int) -> None:
    """A document whose run fails, finds no memory or gives no numbers fails alone."""
    # Documents of one request run together, so that this batch is split for certain; later ones may not be, because
    # what finds no memory lowers the caps, down to single documents.
    for word in (fault.FAILS, fault.NO_ROOM):
        await _fail_a_list(scenario, word)
    for number in range(rounds):
        words = list(ENDS_ALONE)
        scenario._random.shuffle(words)
        exchanges = await asyncio.gather(*(scenario.inject(word) for word in words))
        for word, exchange in zip(words, exchanges, strict=True):
            if exchange is not None and exchange.status != ENDS_ALONE[word]:
                scenario.findings.failures.append(
                    f"round {number}: fault {word} was answered {exchange.status}, not {ENDS_ALONE[word]}"
                )
        for word in (fault.FAILS, fault.NO_ROOM):
            await _fail_a_list(scenario, word)
        await scenario.until_served_again(time.monotonic())
    scenario.findings.expect(await scenario.status("/health/live") == 200, "failing runs ended the server")
    for reason in ("out_of_memory", "failure"):
        split = scenario.metric("bigbird_batch_splits_total", reason=reason)
        scenario.findings.expect(split > 0, f"no batch was split for {reason}: the faults came alone")


async def _fail_a_list(scenario: Scenario, word: int) -> None:
    listed = await scenario.inject_among_others(word)
    scenario.findings.expect(listed is None or listed.status == 500, "a list with a fault did not end with 500")


async def slow_runs(scenario: Scenario, rounds: int) -> None:
    """A run that goes on beyond the deadline of everybody who waits for it is ended."""
    for _ in range(max(1, rounds // 8)):
        ended_before = scenario.metric("bigbird_terminated_runs_total")
        begun_at = time.monotonic()
        exchange = await scenario.inject(fault.SLOW, timeout_ms=500)
        scenario.findings.expect(exchange is None or exchange.status == 504, "a slow run did not end with 504")
        await scenario.until_served_again(begun_at + 0.5)

        async def ended(before: float = ended_before) -> bool:
            return scenario.metric("bigbird_terminated_runs_total") > before

        await scenario.until("the slow run is ended", ended)
    scenario.findings.expect(await scenario.status("/health/live") == 200, "slow runs ended the server")


async def stuck_runs(scenario: Scenario, rounds: int) -> None:
    """A run that is stuck but can be ended is given up: its request gets 503, and the server goes on."""
    for _ in range(max(1, rounds // 20)):
        begun_at = time.monotonic()
        exchange = await scenario.inject(fault.SLOW)
        scenario.findings.expect(exchange is None or exchange.status == 503, "a stuck run did not end with 503")
        await scenario.until_served_again(begun_at + fault.STUCK_SECONDS)
    await scenario.live(200)


async def hanging_run(scenario: Scenario, rounds: int) -> None:
    """A run that cannot be ended fails liveness; who waits is told at once, and if it ends, everything goes on."""
    begun_at = time.monotonic()
    hanging = asyncio.create_task(scenario.inject(fault.HANGS))
    await scenario.live(503)
    exchange = await hanging
    scenario.findings.expect(exchange is None or exchange.status == 503, "a hanging run did not end with 503")
    scenario.findings.expect(
        time.monotonic() - begun_at < fault.STUCK_SECONDS + PATIENCE_SECONDS / 2, "waiting took too long"
    )
    scenario.findings.expect(scenario.metric("bigbird_executor_stuck") == 1, "the device is not reported as stuck")
    late = await scenario.ask(10)
    scenario.findings.expect(late is None or late.status == 503, "new work was accepted beside a hanging run")
    released_at = time.monotonic()
    scenario.server.process.send_signal(signal.SIGUSR1)
    await scenario.live(200)
    await scenario.until_served_again(released_at)


async def dying_thread(scenario: Scenario, rounds: int) -> None:
    """With its only device dead, the server says so and refuses everything."""
    exchange = await scenario.inject(fault.THREAD_DIES)
    scenario.findings.expect(exchange is None or exchange.status == 503, "a dead thread's request did not get 503")
    await scenario.live(503)
    late = await scenario.ask(10)
    scenario.findings.expect(late is None or late.status == 503, "a dead server accepted work")
    scenario.findings.expect(await scenario.status("/health/ready") == 503, "a dead server is ready")
    scenario.findings.expect(scenario.metric("bigbird_executor_alive") == 0, "the device is not reported as dead")


async def one_of_two(scenario: Scenario, word: int) -> None:
    """Of two devices one fails: the other goes on, and the server asks to be restarted."""
    exchange = await scenario.inject(word)
    scenario.findings.expect(exchange is None or exchange.status == 503, "the lost device's request did not get 503")
    await scenario.live(503)
    await scenario.until_served_again(time.monotonic())
    answered = await scenario.ask(10)
    scenario.findings.expect(answered is not None and answered.status == 200, "the other device did not serve")
    scenario.findings.expect(await scenario.status("/health/ready") == 200, "the other device is not ready")


async def one_of_two_dies(scenario: Scenario, rounds: int) -> None:
    """The thread of one of two devices dies."""
    await one_of_two(scenario, fault.THREAD_DIES)


async def one_of_two_is_lost(scenario: Scenario, rounds: int) -> None:
    """One of two devices fails for good, as a GPU does."""
    await one_of_two(scenario, fault.DEVICE_LOST)


async def one_of_two_hangs(scenario: Scenario, rounds: int) -> None:
    """One of two devices hangs, and goes on later."""
    await one_of_two(scenario, fault.HANGS)
    scenario.server.process.send_signal(signal.SIGUSR1)
    await scenario.live(200)


# What is played one after the other on a server with so many devices; a fault that does not pass comes last.
SERVERS: Sequence[tuple[int, Sequence[Play]]] = (
    (1, (failing_runs, slow_runs, stuck_runs, hanging_run, dying_thread)),
    (2, (one_of_two_hangs, one_of_two_dies)),
    (2, (one_of_two_is_lost,)),
)


def run(scale: float) -> Report:
    """Play every scenario."""
    rounds = max(2, round(ROUNDS * scale))
    findings = Findings()
    played = []
    for devices, plays in SERVERS:
        with served("-m", "tests.reliability.faulty_server", str(devices)) as server:
            for play in plays:
                before = len(findings.failures)
                uvloop.run(_play(play, server, findings, rounds))
                findings.expect(server.alive, "the process has ended")
                findings.failures[before:] = [f"{play.__name__}: {what}" for what in findings.failures[before:]]
                played.append(play.__name__.replace("_", " "))
    return Report(
        area="faults",
        inputs=findings.statuses.total() + findings.lost,
        failures=tuple(findings.failures),
        lost=findings.lost,
        wrong=findings.wrong,
        injected=findings.injected,
        facts={
            "scenarios": f"{len(played)}: {', '.join(played)}",
            "answers": ", ".join(f"{status}: {count:,}" for status, count in sorted(findings.statuses.items())),
            "worst recovery": f"{max(findings.recoveries, default=0.0):.1f} s",
        },
    )


async def _play(play: Play, server: Served, findings: Findings, rounds: int) -> None:
    scenario = Scenario(server, findings)
    steady = [asyncio.create_task(scenario.steadily()) for _ in range(STEADY_CLIENTS)]
    try:
        await scenario.until_served_again(time.monotonic())
        findings.recoveries.pop()  # nothing had happened
        await play(scenario, rounds)
    finally:
        scenario.finish()
        await asyncio.gather(*steady)
