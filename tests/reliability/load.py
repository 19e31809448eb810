"""Load: 100,000 mixed requests from several client processes, every one of them accounted for.

Each request carries an id. The server's log has one line for each request that it saw, its counters have one count, and
the client knows how it ended, unless it left before it could know. All three must tell the same:

- what a client waited for has one line, with the status that the client saw;
- whoever leaves in the middle of the headers was never a request, and has no line;
- whoever leaves in the middle of the body has one line, with 499;
- whoever leaves after sending has one line, with 499 or with an answer that nobody read;
- the lines, counted by endpoint and status, are the counters of `/metrics`.

Afterwards the answers of every hundredth request are compared with those that the same requests get alone, and the
server must hold no more files, threads and tasks than before, and hardly more memory than after the first tenth.
"""

import contextlib
import json
import multiprocessing
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor

import httpx

from examples.same_answer_anywhere import differs
from tests.reliability.load_client import ClientRecord, run_client
from tests.reliability.report import Report
from tests.reliability.served import Footprint, MemoryWatch, Served, demo_server, percentile
from tests.reliability.traffic import PATHS, PlannedRequest, Traffic, make_document, request_body

REQUESTS = 100_000
CLIENTS = 3
CONNECTIONS = 16
# Resident memory may grow by so much after the first tenth. A short run has not seen every kind of batch by then: it
# sends everything a second time, and that may take so much more than the first time; one batch larger than all before
# can make a third of it.
MOST_GROWTH = 0.03
MOST_GROWTH_OF_A_REPETITION = 0.5
_SETTLED = 0.1
_FILLED_LENGTHS = (128, 256, 512, 704, 1024, 1536, 2048, 3072, 4096)
_MOST_BATCH_TOKENS = 16_384
_SHORT = 0.2
_PROGRESS_SECONDS = 30.0

Counted = Counter[tuple[str, int]]
"""Requests by endpoint and status."""


def run(scale: float) -> Report:
    """Send the requests and account for them."""
    traffic = Traffic(max(100, round(REQUESTS * scale)))
    print(f"load: making {min(traffic.requests, 4000)} documents", file=sys.stderr)
    _ = traffic.documents
    with demo_server(warm_up_seconds=20 if scale > _SHORT else 2) as server:
        _fill_buckets(server)
        before, counted_before = server.footprint(), _counted(server)
        begun_at = time.monotonic()
        with MemoryWatch(server) as memory:
            records = _send(server, traffic)
        seconds = time.monotonic() - begun_at
        failures = [] if server.alive else ["the server is gone"]
        after = server.settled_footprint(before)
        record = _merge(records)
        logged, log_failures = _logged(server)
        failures += log_failures
        failures += _compare_with_clients(traffic, record, logged)
        failures += _compare_with_counters(_counted(server) - counted_before, Counter(logged.values()))
        wrong = list(_wrong_answers(server, traffic, record.answers))
        failures += wrong
        failures += _leaks(before, after)
        growth = memory.growth(_SETTLED) if scale > _SHORT else _growth_of_a_repetition(server, traffic, memory)
        if growth > (MOST_GROWTH if scale > _SHORT else MOST_GROWTH_OF_A_REPETITION):
            failures.append(f"resident memory grew by {growth:.1%}")
        failures += [f"in the log: {complaint}" for complaint in server.complaints()]
    statuses = Counter(record.statuses.values())
    client_cores = sum(one.processor_seconds for one in records) / seconds
    return Report(
        area="load",
        inputs=traffic.requests,
        failures=tuple(failures),
        lost=len(record.lost),
        wrong=len(wrong),
        facts={
            "answers": ", ".join(f"{status}: {count:,}" for status, count in sorted(statuses.items())),
            "left before the answer": f"{traffic.requests - len(record.statuses) - len(record.lost):,}",
            "compared with the answer alone": f"{len(record.answers):,}",
            "memory growth": f"{growth:+.1%}",
            "highest resident memory of each tenth": ", ".join(f"{most / 1e6:,.0f}" for most in memory.tenths())
            + " MB",
            "files, threads, tasks": f"{after.files}, {after.threads}, {after.tasks}",
            "requests/s": f"{traffic.requests / seconds:.0f}",
            "p50, p99 seconds": f"{percentile(record.seconds, 0.5):.2f}, {percentile(record.seconds, 0.99):.2f}",
            "clients, cores": f"{client_cores:.2f}",
        },
    )


def _fill_buckets(server: Served) -> None:
    """Run full batches of every length, so that the arena and all threads that are made on demand are there.

    Which batches there are in the first tenth is chance, and an arena keeps what the largest one took.
    """
    for length in _FILLED_LENGTHS:
        document = make_document(length, length * 3 // 4)
        texts = ", ".join([document.text] * min(64, _MOST_BATCH_TOKENS // length))
        for path in PATHS:
            body = request_body(path, f"[{texts}]", document.question)
            headers = {"Content-Type": "application/json"}
            httpx.post(f"{server.url}{path}", content=body, headers=headers, timeout=120).raise_for_status()


def _growth_of_a_repetition(server: Served, traffic: Traffic, first: MemoryWatch) -> float:
    """Send everything again; return by what share the highest resident memory is above that of the first time."""
    with MemoryWatch(server) as second:
        _send(server, traffic)
    return max(second.samples) / max(first.samples) - 1


def _counted(server: Served) -> Counted:
    """Return what the server has counted of the requests here."""
    counted: Counted = Counter()
    for (name, labels), value in server.metrics().items():
        own = dict(labels)
        if name == "bigbird_requests_total" and own["endpoint"] in (*PATHS, "unmatched"):
            counted[own["endpoint"], int(own["status"])] += round(value)
    return counted


def _send(server: Served, traffic: Traffic) -> list[ClientRecord]:
    # Not forked: this process has threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(CLIENTS, context) as processes, _progress(server, traffic.requests):
        address = (server.host, server.port)
        clients = [
            processes.submit(run_client, address, traffic, first, CLIENTS, CONNECTIONS) for first in range(CLIENTS)
        ]
        return [client.result() for client in clients]


@contextlib.contextmanager
def _progress(server: Served, requests: int) -> Iterator[None]:
    """Print from time to time how many requests the server has counted."""
    ended = threading.Event()

    def show() -> None:
        begun_at = time.monotonic()
        while not ended.wait(_PROGRESS_SECONDS):
            ended_requests = sum(server.total("bigbird_requests_total", endpoint=path) for path in PATHS)
            seconds = time.monotonic() - begun_at
            print(
                f"load: {ended_requests:,.0f} of {requests:,} requests after {seconds:.0f} s",
                file=sys.stderr,
                flush=True,
            )

    showing = threading.Thread(target=show, daemon=True)
    showing.start()
    try:
        yield
    finally:
        ended.set()
        showing.join()


def _merge(records: Sequence[ClientRecord]) -> ClientRecord:
    merged = ClientRecord()
    for record in records:
        merged.statuses |= record.statuses
        merged.lost |= record.lost
        merged.answers |= record.answers
        merged.seconds += record.seconds
    return merged


def _logged(server: Served) -> tuple[dict[int, tuple[str, int]], list[str]]:
    """Return endpoint and status of every request in the log, by number, and what is wrong with the lines."""
    found: dict[int, tuple[str, int]] = {}
    failures = []
    for line in server.log_lines():
        request_id = line.get("request_id", "")
        if "status" not in line or not request_id.startswith("load-"):
            continue
        number = int(request_id.removeprefix("load-"))
        if number in found:
            failures.append(f"request {number} has two lines in the log")
        found[number] = (line["endpoint"], line["status"])
    return found, failures


def _compare_with_clients(
    traffic: Traffic, record: ClientRecord, logged: Mapping[int, tuple[str, int]]
) -> Iterator[str]:
    for number, error in record.lost.items():
        yield f"request {number} is lost: {error}"
    for number in range(traffic.requests):
        if number not in record.lost:
            problem = _difference(traffic.request(number), record.statuses.get(number), logged.get(number))
            if problem is not None:
                yield f"request {number} {problem}"


def _difference(request: PlannedRequest, seen: int | None, logged: tuple[str, int] | None) -> str | None:
    """Return in what the client's and the server's accounts of a request differ, if they do."""
    if request.departure == "in the headers":
        return None if logged is None else f"was never sent, and the log says {logged}"
    if logged is None:
        return f"was sent, and the log does not know it (kind {request.kind})"
    endpoint, status = logged
    if endpoint != (request.path if request.path in PATHS else "unmatched"):
        return f"went to {request.path}, and the log says {endpoint}"
    if request.departure == "in the body":
        return None if status == 499 else f"ended in its body, and the log says {status}"
    if request.departure == "after sending":
        return None if status in (200, 499) else f"was left by its client, and the log says {status}"
    if status != seen:
        return f"was answered {seen}, and the log says {status}"
    return None if status in _expected(request) else f"({request.kind}) was answered {status}"


def _expected(request: PlannedRequest) -> tuple[int, ...]:
    if request.kind == "malformed":
        return (400, 404, 405, 413, 415, 422)
    return (200, 504) if request.kind == "hurried" else (200,)


def _compare_with_counters(counted: Counted, lines: Counted) -> Iterator[str]:
    for endpoint, status in sorted(counted | lines):
        key = (endpoint, status)
        if counted[key] != lines[key]:
            yield f"{endpoint} {status}: {lines[key]} lines in the log, {counted[key]} counted"


def _wrong_answers(server: Served, traffic: Traffic, answers: Mapping[int, bytes]) -> Iterator[str]:
    """Ask again, one after the other, and tell which answers are others now."""
    with httpx.Client(base_url=server.url, timeout=120) as client:
        for number, answer in sorted(answers.items()):
            request = traffic.request(number)
            # Without its hurry: what was answered in time then may be too late now.
            body = {name: value for name, value in json.loads(request.body).items() if name != "timeout_ms"}
            alone = client.post(request.path, json=body)
            if alone.status_code != 200 or differs(json.loads(answer), alone.json(), allowed=0.0):
                yield f"request {number} has another answer alone"


def _leaks(before: Footprint, after: Footprint) -> Iterator[str]:
    for name in ("files", "threads", "tasks", "in_flight", "queued"):
        had, has = getattr(before, name), getattr(after, name)
        if has > had:
            yield f"{name}: {had} before, {has} after"
