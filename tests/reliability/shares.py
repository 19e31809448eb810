"""Shares: whoever asks a little is answered soon, whatever others ask.

One client keeps asking for the label of ten tokens while others post lists of hundreds of long documents, texts that
make too large a request, or questions about one long context. Its latency is measured alone and beside each of them,
and what a list loses by it.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Sequence
from statistics import median

import uvloop

from tests.reliability.exchange import Address, Exchange, ask, ask_steadily, post
from tests.reliability.report import Report
from tests.reliability.served import demo_server, percentile
from tests.reliability.traffic import make_document

ALONE_SECONDS = 10.0
LONG_TOKENS = 3_500
DOCUMENTS = 256
LARGE_BODIES = 64
PAUSE_SECONDS = 0.02
# With the demo models; see docs/reliability.md.
MOST_SECONDS = 1.0
MOST_LOST_SPEED = 0.1


def run(scale: float) -> Report:
    """Measure the short requests alone, and beside each of the others."""
    with demo_server(warm_up_seconds=2, log_level="warning", timeout_ms=600_000) as server:
        return uvloop.run(_run((server.host, server.port), scale))


async def _run(address: Address, scale: float) -> Report:
    documents = max(8, round(DOCUMENTS * scale))
    text = json.loads(make_document(0, LONG_TOKENS).text)
    listed = post("/classify", {"text": [text] * documents})
    part = post("/classify", {"text": [text] * max(2, documents // 4)})
    filler = ("the report of the bridge " * 8000)[:200_000]
    large = post("/classify", {"text": [filler] * 80})
    questions = post("/qa", {"question": ["Who leads the project?"] * DOCUMENTS, "context": filler})
    bodies = max(4, round(LARGE_BODIES * scale))

    alone = await _beside(address, [asyncio.sleep(max(2.0, ALONE_SECONDS * scale))])
    began = time.monotonic()
    list_alone = await ask(address, listed, 600)
    seconds_alone = time.monotonic() - began
    one_list = await _beside(address, [ask(address, listed, 600)])
    four_lists = await _beside(address, [ask(address, part, 600) for _ in range(4)])
    refused = await _beside(address, [ask(address, large, 600) for _ in range(bodies)])
    asked = await _beside(address, [ask(address, questions, 600)])

    situations = {
        "alone": alone,
        "beside a list": one_list,
        "beside four lists": four_lists,
        "beside texts that are refused": refused,
        "beside questions that are refused": asked,
    }
    failures = [f"the list alone was answered {list_alone.status}"] if list_alone.status != 200 else []
    for name, expected in (("beside a list", 200), ("beside four lists", 200)):
        statuses = {exchange.status for exchange in situations[name].others}
        failures += [f"{name}: others were answered {statuses}"] if statuses != {expected} else []
    for name in ("beside texts that are refused", "beside questions that are refused"):
        statuses = {exchange.status for exchange in situations[name].others}
        failures += [f"{name}: others were answered {statuses}"] if not statuses <= {413, 429} else []
    for name, found in situations.items():
        statuses = {exchange.status for exchange in found.short}
        failures += [f"{name}: short requests were answered {statuses}"] if statuses != {200} else []
        late = percentile(found.latencies, 0.99)
        if late > MOST_SECONDS:
            failures.append(f"{name}: the 99th percentile of short requests took {late:.2f} s")
    # What the short requests themselves took of the device is theirs.
    lost = 1 - seconds_alone / (one_list.seconds - sum(one_list.latencies))
    if scale == 1 and lost > MOST_LOST_SPEED:
        failures.append(f"a list lost {lost:.0%} of its speed beside short requests")
    return Report(
        area="shares",
        inputs=sum(len(found.short) + len(found.others) for found in situations.values()),
        failures=tuple(failures),
        facts={
            **{f"{name}, p50, p99, largest": found.figures for name, found in situations.items()},
            "list, seconds alone and beside short requests": f"{seconds_alone:.1f}, {one_list.seconds:.1f}",
            "seconds until refused": f"{refused.seconds:.1f} for {bodies} texts, {asked.seconds:.1f} for questions",
        },
    )


class _Situation:
    """Short requests, and what others asked meanwhile."""

    def __init__(self, short: Sequence[Exchange], others: Sequence[Exchange], seconds: float) -> None:
        self.short = short
        self.others = others
        self.seconds = seconds
        self.latencies = [exchange.seconds for exchange in short]

    @property
    def figures(self) -> str:
        milliseconds = [median(self.latencies), percentile(self.latencies, 0.99), max(self.latencies)]
        return "/".join(f"{1000 * value:.0f}" for value in milliseconds) + f" ms of {len(self.latencies)}"


async def _beside(address: Address, others: Sequence[Awaitable[object]]) -> _Situation:
    """Ask short requests for as long as others take."""
    stop = asyncio.Event()
    short = asyncio.create_task(
        ask_steadily(
            address, post("/classify", {"text": "The report says so in ten short words."}), stop, PAUSE_SECONDS
        )
    )
    began = time.monotonic()
    answers = await asyncio.gather(*others)
    seconds = time.monotonic() - began
    stop.set()
    return _Situation(await short, [answer for answer in answers if isinstance(answer, Exchange)], seconds)
