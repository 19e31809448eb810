"""Models are exchanged while clients ask them: nothing is lost, and every answer is that of one version.

Two versions of one model, whose answers differ for every request, take turns under one name. A client's answer must be
exactly that of a version that was served between its question and its answer: an answer encoded, run or decoded in part
by the other would equal neither. In between a second model is loaded and unloaded, and spoilt bundles are refused.
"""

import asyncio
import contextlib
import dataclasses
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx

from bigbird_inference.bundle import read_manifest, write_manifest
from bigbird_inference.bundle_files import file_sha256
from bigbird_inference.manifest import WEIGHTS_FILE
from demo.reports import generate_report
from examples.same_answer_anywhere import differs
from service.security.access import key_line, make_key
from tests.reliability.report import Report
from tests.reliability.served import Served, demo_bundles, served

AREA = "reload_under_load"

_REQUESTS = 5000
_RELOADS = 20
_CLIENTS = 8
_LENGTHS = (60, 110, 200, 350, 600, 900, 1400)
_LONGEST_SECONDS = 120
# What the allocator rounds grows for a while and stops; what a reload leaves behind grows in every round.
_RELOADS_IN_A_ROUND = 3
_MOST_ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Exchange:
    """A version that took the name: the old one may answer until `answered_at`, this one from `asked_at` on."""

    version: str
    asked_at: float
    answered_at: float


@dataclass(slots=True)
class Run:
    """What is known while clients ask.

    Attributes:
        url: Of the server.
        admin: The header with the admin key.
        models: The server's folder of bundles.
        bodies: What is asked.
        alone: Each body's answer by version.
        exchanges: Which version was served when; the first from the beginning.
        latencies: When each request was sent, and how long it took.
        held: Anonymous memory of the server after each reload without traffic, in bytes.
    """

    url: str
    admin: dict[str, str]
    models: Path
    bodies: Sequence[dict[str, Any]]
    alone: dict[str, list[Any]] = field(default_factory=dict)
    exchanges: list[Exchange] = field(default_factory=list)
    reload_seconds: list[float] = field(default_factory=list)
    latencies: list[tuple[float, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    answered: int = 0
    lost: int = 0
    wrong: int = 0
    injected: int = 0
    side_answers: int = 0
    held: list[int] = field(default_factory=list)

    def possible_versions(self, sent_at: float, answered_at: float) -> set[str]:
        """Return the versions that may have answered a request."""
        ends = [exchange.answered_at for exchange in self.exchanges[1:]] + [float("inf")]
        return {
            exchange.version
            for exchange, end in zip(self.exchanges, ends, strict=True)
            if exchange.asked_at <= answered_at and sent_at <= end
        }


def run(scale: float) -> Report:
    """Exchange a model under load, at scale 1 twenty times during 5,000 requests."""
    requests, reloads = max(60, int(_REQUESTS * scale)), max(2, int(_RELOADS * scale))
    secret = make_key()
    with _models() as models:
        command = ["-m", "bigbird_cli", "serve", "--models", str(models), "--port", "0"]
        environment = {"BIGBIRD_ADMIN_KEY": key_line("operator", secret), "BIGBIRD_WARM_UP_SECONDS": "2"}
        with served(*command, environment=environment) as server:
            state = Run(server.url, {"Authorization": f"Bearer {secret}"}, models, _bodies())
            asyncio.run(_exercise(state, server, requests, reloads))
            facts = _facts(state, reloads)
            if not server.alive:
                state.failures.append("the server has ended")
    return Report(
        AREA,
        inputs=state.answered,
        failures=tuple(state.failures[:20]),
        lost=state.lost,
        wrong=state.wrong,
        injected=state.injected,
        facts=facts,
    )


@contextlib.contextmanager
def _models() -> Iterator[Path]:
    """Yield a folder with the link `qa` to one of two versions, a spoilt one, and a second model that is not served."""
    source = demo_bundles()
    with tempfile.TemporaryDirectory(prefix="bigbird-reload-") as name:
        folder = Path(name)
        shutil.copytree(source / "demo-qa", folder / ".first")
        shutil.copytree(source / "demo-qa", folder / ".second")
        shutil.copytree(source / "demo-qa", folder / ".spoilt")
        shutil.copytree(source / "demo-classify", folder / ".classify")
        _change_weights(folder / ".second")
        _spoil(folder / ".spoilt")
        _point(folder, "qa", "first")
        yield folder


def _point(models: Path, name: str, version: str) -> None:
    """Let a name mean another folder, in one step."""
    link = models / ".new"
    link.symlink_to(f".{version}")
    os.replace(link, models / name)


def _change_weights(bundle: Path) -> None:
    """Make another model of a bundle: every matrix is half as large."""
    manifest = read_manifest(bundle)
    weights = np.memmap(bundle / WEIGHTS_FILE, mode="r+")
    for offset, length in {place for graph in manifest.graphs for place in _matrices(bundle / graph.file)}:
        matrix = weights[offset : offset + length].view(np.float32)
        matrix *= np.float32(0.5)
    weights.flush()
    hashed = dataclasses.replace(manifest.weights, sha256=file_sha256(bundle / WEIGHTS_FILE))
    write_manifest(dataclasses.replace(manifest, weights=hashed, known_answer=None), bundle)


def _matrices(graph: Path) -> Iterator[tuple[int, int]]:
    """Yield where the weights of a graph that have two axes lie in the file of the weights: offset and length."""
    for tensor in onnx.load(graph, load_external_data=False).graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2 and tensor.external_data:
            place = {entry.key: entry.value for entry in tensor.external_data}
            yield int(place["offset"]), int(place["length"])


def _spoil(bundle: Path) -> None:
    """Change one byte of the weights."""
    weights = np.memmap(bundle / WEIGHTS_FILE, mode="r+")
    weights[len(weights) // 2] ^= 1
    weights.flush()


def _bodies() -> list[dict[str, Any]]:
    """Return questions about documents of all lengths, some of them in lists."""
    reports = [generate_report(50_000 + number, length) for number, length in enumerate(_LENGTHS * 3)]
    single = [{"model": "qa", "question": each.questions[0].text, "context": each.text} for each in reports]
    lists = [
        {"model": "qa", "question": "Where was it?", "context": [report.text for report in reports[first : first + 3]]}
        for first in (0, 7, 14)
    ]
    return [*single, *lists]


async def _exercise(state: Run, server: Served, requests: int, reloads: int) -> None:
    limits = httpx.Limits(max_connections=_CLIENTS + 4)
    async with httpx.AsyncClient(base_url=state.url, timeout=_LONGEST_SECONDS, limits=limits) as client:
        await _ask_alone(state, client)
        state.exchanges.append(Exchange("first", 0.0, 0.0))
        numbers = iter(range(requests))
        clients = [asyncio.create_task(_client(state, client, numbers)) for _ in range(_CLIENTS)]
        asking = asyncio.gather(*clients)
        await _exchange_all(state, client, asking, requests, reloads)
        await asking
        await _ensure_released(state, server)
        await _reload_alone(state, client, server)


async def _ensure_released(state: Run, server: Served) -> None:
    """Check that the server has mapped the weights of one version and no others."""
    mapped: set[str] = set()
    for _ in range(100):
        lines = Path(f"/proc/{server.process.pid}/maps").read_text().splitlines()
        mapped = {line.split(maxsplit=5)[-1] for line in lines if WEIGHTS_FILE in line}
        if len(mapped) == 1:
            return
        await asyncio.sleep(0.1)
    state.failures.append(f"the weights of {len(mapped)} models are still mapped")


async def _reload_alone(state: Run, client: httpx.AsyncClient, server: Served) -> None:
    """Reload without traffic, whose batches take memory of their own, until a round has left nothing behind.

    A version that stayed would take at least its weights, which are packed in memory of the process.
    """
    weights = (state.models / ".first" / WEIGHTS_FILE).stat().st_size
    for number in range(_MOST_ROUNDS * _RELOADS_IN_A_ROUND):
        await _reload(state, client, "second" if number % 2 == 0 else "first")
        await _ensure_released(state, server)
        state.held.append(_anonymous_bytes(server))
        if len(state.held) % _RELOADS_IN_A_ROUND == 0 and number >= _RELOADS_IN_A_ROUND:
            *_, before, last = (state.held[i : i + _RELOADS_IN_A_ROUND] for i in range(0, number, _RELOADS_IN_A_ROUND))
            if min(last) - min(before) < weights:
                return
    state.failures.append(f"memory grew in each of {_MOST_ROUNDS} rounds of reloads: {state.held}")


def _anonymous_bytes(server: Served) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(line.split()[1]) * 1024


async def _ask_alone(state: Run, client: httpx.AsyncClient) -> None:
    """Ask each version everything while nobody else does; they must differ in every answer."""
    for version in ("second", "first"):
        _point(state.models, "qa", version)
        (await client.post("/v1/models/qa/reload", headers=state.admin)).raise_for_status()
        answers = [await client.post("/qa", json=body, headers=state.admin) for body in state.bodies]
        state.alone[version] = [answer.raise_for_status().json() for answer in answers]
    pairs = zip(state.alone["first"], state.alone["second"], strict=True)
    if not all(differs(first, second) for first, second in pairs):
        state.failures.append("the two versions do not differ in every answer, so that nothing would be proved")


async def _client(state: Run, client: httpx.AsyncClient, numbers: Iterator[int]) -> None:
    for number in numbers:
        index = number % len(state.bodies)
        sent_at = time.monotonic()
        try:
            response = await client.post("/qa", json=state.bodies[index], headers=state.admin)
        except httpx.HTTPError as error:
            state.lost += 1
            state.failures.append(f"request {number} was lost: {type(error).__name__}")
            continue
        answered_at = time.monotonic()
        state.answered += 1
        state.latencies.append((sent_at, answered_at - sent_at))
        if response.status_code != httpx.codes.OK:
            state.lost += 1
            state.failures.append(f"request {number} was answered {response.status_code}: {response.text[:200]}")
        else:
            _check(state, number, index, response.json(), sent_at, answered_at)


def _check(state: Run, number: int, index: int, answer: Any, sent_at: float, answered_at: float) -> None:
    given_by = {version for version, answers in state.alone.items() if not differs(answers[index], answer, allowed=0.0)}
    possible = state.possible_versions(sent_at, answered_at)
    if not given_by & possible:
        state.wrong += 1
        state.failures.append(f"request {number}: the answer is that of {given_by or 'no version'}, not of {possible}")


async def _exchange_all(
    state: Run, client: httpx.AsyncClient, asking: asyncio.Future[Any], requests: int, reloads: int
) -> None:
    """Spread the changes evenly over the requests."""
    others: list[Callable[[], Awaitable[None]]] = [
        lambda: _refused_reload(state, client),
        lambda: _load_and_unload(state, client),
        lambda: _two_at_once(state, client),
    ]
    for number in range(reloads):
        while state.answered + state.lost < number * requests // reloads and not asking.done():
            await asyncio.sleep(0.02)
        await _reload(state, client, "second" if number % 2 == 0 else "first")
        await others[number % len(others)]()


async def _reload(state: Run, client: httpx.AsyncClient, version: str) -> None:
    _point(state.models, "qa", version)
    asked_at = time.monotonic()
    # Until it is answered, either may answer.
    state.exchanges.append(Exchange(version, asked_at, float("inf")))
    response = await client.post("/v1/models/qa/reload", headers=state.admin)
    state.exchanges[-1] = Exchange(version, asked_at, time.monotonic())
    state.reload_seconds.append(time.monotonic() - asked_at)
    if response.status_code != httpx.codes.OK:
        state.failures.append(f"a reload was answered {response.status_code}: {response.text[:200]}")


async def _refused_reload(state: Run, client: httpx.AsyncClient) -> None:
    """Ask for a spoilt bundle; what is served goes on, and the answer names no folder of the machine."""
    _point(state.models, "qa", "spoilt")
    response = await client.post("/v1/models/qa/reload", headers=state.admin)
    state.injected += 1
    if response.status_code != httpx.codes.UNPROCESSABLE_ENTITY or str(state.models) in response.text:
        state.failures.append(f"a spoilt bundle was answered {response.status_code}: {response.text[:200]}")


async def _load_and_unload(state: Run, client: httpx.AsyncClient) -> None:
    """Bring a second model and take it away while it is asked; it answers all that it accepted."""
    _point(state.models, "classify", "classify")
    steps = [await client.post("/v1/models/classify/load", headers=state.admin)]
    body = {"text": state.bodies[3]["context"]}
    asked = [asyncio.create_task(client.post("/classify", json=body, headers=state.admin)) for _ in range(3)]
    await asked[0]
    steps.append(await client.post("/v1/models/classify/unload", headers=state.admin))
    statuses = [(await answer).status_code for answer in asked]
    steps_ok = all(step.status_code == httpx.codes.OK for step in steps)
    if not steps_ok or statuses[0] != httpx.codes.OK or not set(statuses) <= {200, 404}:
        state.failures.append(f"load and unload: {[step.status_code for step in steps]}, answers {statuses}")
    gone = await client.post("/classify", json=body, headers=state.admin)
    if gone.status_code != httpx.codes.NOT_FOUND:
        state.failures.append(f"a model that was unloaded answered {gone.status_code}")
    state.side_answers += statuses.count(200)


async def _two_at_once(state: Run, client: httpx.AsyncClient) -> None:
    """Two reloads at once: one is made, the other is refused."""
    version = state.exchanges[-1].version
    _point(state.models, "qa", version)
    asked = [client.post("/v1/models/qa/reload", headers=state.admin) for _ in range(2)]
    statuses = sorted(response.status_code for response in await asyncio.gather(*asked))
    if statuses != [httpx.codes.OK, httpx.codes.CONFLICT]:
        state.failures.append(f"two reloads at once were answered {statuses}")


def _facts(state: Run, reloads: int) -> dict[str, str]:
    during = [seconds for sent_at, seconds in state.latencies if _during_reload(state, sent_at, sent_at + seconds)]
    quiet = [seconds for sent_at, seconds in state.latencies if not _during_reload(state, sent_at, sent_at + seconds)]
    return {
        "reloads": str(reloads),
        "seconds of a reload, median and longest": f"{statistics.median(state.reload_seconds):.2f}, "
        f"{max(state.reload_seconds):.2f}",
        "p95 latency during reloads": f"{_p95(during):.3f} s of {len(during)}",
        "p95 latency otherwise": f"{_p95(quiet):.3f} s of {len(quiet)}",
        "memory after reloads without traffic": ", ".join(f"{held / 1e6:.0f}" for held in state.held) + " MB",
    }


def _during_reload(state: Run, sent_at: float, answered_at: float) -> bool:
    return any(exchange.asked_at <= answered_at and sent_at <= exchange.answered_at for exchange in state.exchanges[1:])


def _p95(seconds: Sequence[float]) -> float:
    return float(np.quantile(seconds, 0.95)) if seconds else float("nan")
