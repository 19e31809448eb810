"""The largest answers that can be asked for, of every task, and clients that hardly read them.

The worst requests that were found are sent to a server that has answered ordinary lists before. Each is answered, or
refused because its answer is too large; `/health/live` is asked meanwhile, and afterwards the server must have given
the memory back. In the end a dozen clients ask for large answers and read a few bytes of them until they are cut off.
"""

import contextlib
import json
import shutil
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from service.settings import Settings
from tests.reliability.exchange import post
from tests.reliability.report import Report
from tests.reliability.served import TASKS as DEMO_TASKS
from tests.reliability.served import Served, demo_bundles, served
from tests.reliability.small_bundles import TASKS, write_small_bundles

LIST_ITEMS = 256
MOST_KEPT_BYTES = 300_000_000
MOST_ANSWER_BYTES: int = Settings.model_fields["max_answer_bytes"].default
# Kubernetes asks with a timeout of seconds. A short run is a test, beside others on the same cores.
MOST_STALL_SECONDS = 2.0
_TIMEOUT_MS = 1_800_000
_SETTLE_SECONDS = 2.0
_PAUSE_SECONDS = 0.02
_SLOW_CLIENTS = 12
_SLOW_DOCUMENTS = 20
_WRITE_TIMEOUT_SECONDS = 10
# Of the base model. Every token of a text to embed has a vector, until they are averaged.
_LENGTHS, _HIDDEN_SIZE = (64, 512, 4096), 768

_MIB = 2**20
_LONGEST = 200_000
# The tokenizer drops control characters, so two tokens span all of them; in JSON each is six bytes.
_SPANNED = "a" + "\x01" * (_LONGEST - 2) + "b"
_LETTERS_AROUND = " a b c d e f g h i j{} k l m n o p q r s t"
_ORDINARY = "The survey of the northern bridges was led by Maria Okafor, who works for Halden Works in Bergen. " * 12


@dataclass(frozen=True, slots=True)
class LargeRequest:
    """A request with a large answer, or one that takes much memory until it is answered.

    Attributes:
        name: What is large.
        task: Which task.
        body: Its fields.
        demo: Whether the demo model is asked, and not the small one, which takes no time.
    """

    name: str
    task: str
    body: Mapping[str, Any]
    demo: bool = False

    @property
    def model(self) -> str:
        return f"{'demo' if self.demo else 'small'}-{self.task}"


def ordinary_requests(items: int) -> list[LargeRequest]:
    """Return a list of ordinary texts with default options for each task."""
    texts = [f"{number}. {_ORDINARY}" for number in range(items)]
    short = [text[:200] for text in texts]
    bodies: dict[str, dict[str, Any]] = {
        "qa": {"question": "Who led the survey?", "context": texts},
        "classify": {"text": texts},
        "ner": {"text": texts},
        "embed": {"text": texts},
        "multiple-choice": {"prompt": short, "choices": ["because it rained.", "since bridges cross rivers."]},
        "fill-mask": {"text": [f"{text} [MASK]." for text in texts]},
        "next-sentence": {"first": short, "second": "Its report was published in June."},
        "generate": {"prompt": short},
    }
    return [LargeRequest("ordinary texts", task, body) for task, body in bodies.items()]


def worst_requests(items: int) -> list[LargeRequest]:
    """Return the requests that take most memory, of all that were tried."""
    blanks, controls = (_LETTERS_AROUND.format(one * (_LONGEST - 42)) for one in (" ", "\x01"))
    questions, most = ["Who?"] * items, {"top_k": 100, "max_answer_tokens": 4096}
    names = ["Maria Okafor " * 2000] * items
    # 256 of them are nearly the largest request that the queue takes.
    words = ["word " * 3500] * items
    # 256 of them are nearly the largest body.
    masked = "[MASK]" + "\t" * (_LONGEST // 8) + "a"
    return [
        LargeRequest("100 spans of blanks", "qa", {"question": questions, "context": blanks, **most}, True),
        LargeRequest(
            "100 spans of control characters", "qa", {"question": questions, "context": controls, **most}, True
        ),
        LargeRequest("best spans of control characters", "qa", {"question": questions, "context": _SPANNED}, True),
        LargeRequest("every token an entity", "ner", {"text": words, "aggregation": "none"}),
        LargeRequest("every name", "ner", {"text": names[:16]}, True),
        LargeRequest("long texts", "classify", {"text": words}),
        LargeRequest("long texts, demo", "classify", {"text": names[:16]}, True),
        LargeRequest("every token's vector", "embed", {"text": "word " * 5_000, "tokens": True}),
        LargeRequest("long texts", "embed", {"text": words}),
        LargeRequest(
            "choices of control characters",
            "multiple-choice",
            {"prompt": ["a"] * items, "choices": [_SPANNED, f"c{_SPANNED[1:]}"]},
        ),
        LargeRequest(
            "1,000 tokens for each of 32 masks",
            "fill-mask",
            {"text": ["[MASK] " * 32] * items, "top_k": 1000, "sequences": False},
        ),
        LargeRequest("long sequences", "fill-mask", {"text": [masked] * items}),
        LargeRequest("long pairs", "next-sentence", {"first": ["word " * 240] * items, "second": "word " * 240}),
        LargeRequest("long continuations", "generate", {"prompt": ["word"] * items, "max_new_tokens": 200}),
    ]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a request did to the server; bytes of resident memory.

    Attributes:
        status: Of the answer.
        size: Bytes of it.
        before: Resident before.
        peak: At most, meanwhile.
        after: Some seconds later.
        stall: The longest time for which `/health/live` had no answer.
    """

    status: int
    size: int
    before: int
    peak: int
    after: int
    stall: float


@dataclass(slots=True)
class _Liveness:
    """Asks `/health/live` all the time, on a thread of its own.

    Attributes:
        longest: The longest time for an answer since it was last set to 0.
    """

    server: Served
    longest: float = 0.0

    @contextlib.contextmanager
    def watched(self) -> Iterator["_Liveness"]:
        stop = threading.Event()
        thread = threading.Thread(target=self._ask, args=(stop,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()

    def _ask(self, stop: threading.Event) -> None:
        with httpx.Client(base_url=self.server.url, timeout=120) as client:
            while not stop.wait(_PAUSE_SECONDS):
                begun_at = time.monotonic()
                client.get("/health/live").raise_for_status()
                self.longest = max(self.longest, time.monotonic() - begun_at)


@contextlib.contextmanager
def server_of_all_tasks() -> Iterator[Served]:
    """Serve the demo bundles, and small ones for all tasks, as long and as wide as the base model."""
    with tempfile.TemporaryDirectory() as folder:
        write_small_bundles(Path(folder), TASKS, _LENGTHS, _HIDDEN_SIZE)
        for task in DEMO_TASKS:
            shutil.copytree(demo_bundles() / f"demo-{task}", Path(folder) / f"demo-{task}")
        command = ("-m", "bigbird_cli", "serve", "--models", folder, "--port", "0")
        write_timeout = {"BIGBIRD_WRITE_TIMEOUT_SECONDS": str(_WRITE_TIMEOUT_SECONDS), "BIGBIRD_WARM_UP_SECONDS": "2"}
        with served(*command, environment=write_timeout) as server:
            yield server


def run(scale: float) -> Report:
    """Send ordinary lists, then the worst requests, then let slow clients ask."""
    items = max(8, round(LIST_ITEMS * scale))
    failures: list[str] = []
    facts: dict[str, str] = {}
    statuses: Counter[int] = Counter()
    with server_of_all_tasks() as server, _Liveness(server).watched() as liveness:
        requests = ordinary_requests(items)
        for request in requests:
            outcome = send(server, liveness, request)
            statuses[outcome.status] += 1
            if outcome.status != 200:
                failures.append(f"{request.task}, {items} ordinary texts: {outcome.status}")
        _fill_arenas(server)
        first = server.resident_bytes()
        most_kept = 0
        for request in worst_requests(items):
            outcome = send(server, liveness, request)
            statuses[outcome.status] += 1
            most_kept = max(most_kept, outcome.after - outcome.before)
            failures += _judge(f"{request.task}, {request.name}", outcome, scale)
            facts[f"{request.task}, {request.name}"] = _written(outcome)
        requests += worst_requests(items)
        before = server.resident_bytes()
        with contextlib.ExitStack() as stack:
            slow = [stack.enter_context(_slow_client(server, request)) for request in _slow_requests()]
            begun = [client.recv(12) for client in slow]
            held = server.resident_bytes()
            tolerated = _tolerated(server, slow)
        time.sleep(_SETTLE_SECONDS)
        after = server.resident_bytes()
        most_kept = max(most_kept, after - before, after - first)
        failures += [f"a slow client got {start!r}" for start in begun if start != b"HTTP/1.1 200"]
        if tolerated:
            failures.append(f"{tolerated} clients that hardly read were not cut off")
        if after - first > MOST_KEPT_BYTES:
            failures.append(f"{_mb(first)} MB before the worst requests, {_mb(after)} MB after all of them")
        facts["slow clients"] = f"{len(slow)}, {_mb(before)} MB before, {_mb(held)} held, {_mb(after)} after"
        facts["all of them"] = f"{_mb(first)} MB before, {_mb(after)} after"
        if not server.alive:
            failures.append("the server is gone")
        failures += server.complaints()
    return Report(
        area="large_answers",
        inputs=len(requests) + _SLOW_CLIENTS,
        failures=tuple(failures),
        facts={
            "answers": ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items())),
            "memory growth": f"{max(0, most_kept) / _MIB:.0f} MiB",
            **facts,
        },
    )


def send(server: Served, liveness: _Liveness, request: LargeRequest) -> Outcome:
    """Send a request, read its answer as fast as it comes, and look at the server's memory meanwhile."""
    before = server.resident_bytes()
    # From now on VmHWM is the peak of what follows.
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")
    liveness.longest = 0.0
    size = 0
    content = json.dumps({**request.body, "model": request.model, "timeout_ms": _TIMEOUT_MS})
    headers = {"content-type": "application/json"}
    with httpx.stream(
        "POST", f"{server.url}/{request.task}", content=content, headers=headers, timeout=_TIMEOUT_MS / 1000
    ) as response:
        for piece in response.iter_raw():
            size += len(piece)
    time.sleep(_SETTLE_SECONDS)
    peak = server.peak_resident_bytes()
    return Outcome(response.status_code, size, before, peak, server.resident_bytes(), liveness.longest)


def _judge(name: str, outcome: Outcome, scale: float) -> Iterator[str]:
    if outcome.status not in (200, 422):
        yield f"{name}: {outcome.status}"
    if outcome.size > MOST_ANSWER_BYTES:
        yield f"{name}: an answer of {_mb(outcome.size)} MB"
    if outcome.after - outcome.before > MOST_KEPT_BYTES:
        yield f"{name}: {_written(outcome)}"
    if scale >= 1 and outcome.stall > MOST_STALL_SECONDS:
        yield f"{name}: /health/live had no answer for {outcome.stall:.1f} s"


def _written(outcome: Outcome) -> str:
    return (
        f"{outcome.status} with {_mb(outcome.size)} MB, resident {_mb(outcome.before)}, at most {_mb(outcome.peak)}, "
        f"then {_mb(outcome.after)} MB, stall {outcome.stall:.2f} s"
    )


def _mb(size: int) -> int:
    return round(size / 1e6)


def _fill_arenas(server: Served) -> None:
    """Have the longest texts run in full batches: the memory of a batch is kept (docs/running.md), and is no answer."""
    text = ["The survey of the northern bridges. " * 400] * 4
    bodies: dict[str, dict[str, Any]] = {
        "qa": {"question": "Who?", "context": text},
        "classify": {"text": text},
        "ner": {"text": text},
    }
    for task, body in bodies.items():
        asked = {**body, "model": f"demo-{task}", "timeout_ms": _TIMEOUT_MS}
        httpx.post(f"{server.url}/{task}", json=asked, timeout=600).raise_for_status()


def _slow_requests() -> Sequence[bytes]:
    documents = ["word " * 4000] * _SLOW_DOCUMENTS
    body = {"text": documents, "aggregation": "none", "model": "small-ner", "timeout_ms": _TIMEOUT_MS}
    return [post("/ner", body)] * _SLOW_CLIENTS


@contextlib.contextmanager
def _slow_client(server: Served, request: bytes) -> Iterator[socket.socket]:
    """Ask, with little room for the answer."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(_TIMEOUT_MS / 1000)
        client.connect((server.host, server.port))
        client.sendall(request)
        yield client


def _tolerated(server: Served, clients: Sequence[socket.socket]) -> int:
    """Read a few bytes from each now and then; return how many the server has not cut off within its time."""
    ends_at = time.monotonic() + 6 * _WRITE_TIMEOUT_SECONDS
    cut_off = 0
    while cut_off < len(clients) and time.monotonic() < ends_at:
        for client in clients:
            with contextlib.suppress(OSError):
                client.setblocking(False)
                client.recv(64)
        time.sleep(0.2)
        cut_off = round(server.total("bigbird_ended_connections_total", reason="write_timeout"))
    return len(clients) - cut_off
