"""Every field of every endpoint with values that nobody means well with, over connections that stay open.

Each answer must be documented, in time, and for a 200 true: the positions in it cut out exactly what it says. Errors
are problems, are short, and quote nothing of the text. A failure names the input's number;
`python -m tests.reliability.fields NUMBER` sends it again.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.reliability.field_values import CANARY, FIELDS, Input, field_input, large_inputs
from tests.reliability.fuzzed_server import FuzzedServer, fuzzed_server
from tests.reliability.report import Report

SEED = 20261120
_INPUTS = 26_000
_CONNECTIONS = 6
_BETWEEN_PROBES = 2_000
_MOST_SECONDS = 30.0
# Of which most is writing in the same process what is asked for: an answer can have 40 MB.
_MOST_WAIT_SECONDS = 5.0
# The server closes idle connections, and checking an answer can take longer than it waits.
_FRESH_SECONDS = 2.0
_MOST_PROBLEM_BYTES = 16 * 1024
_MOST_GROWTH_BYTES = 1024 * 1024 * 1024
_STATUSES = frozenset({200, 400, 404, 413, 415, 422, 429, 504})
# Of endpoints whose own answers have positions: the field of the text that they are in.
_NATIVE_TEXTS = {"/qa": "context", "/ner": "text", "/embed": "text", "/fill-mask": "text"}
_Span = tuple[str, int, int]
"""What stands at a position, its start and its end."""
_PROBLEM_FIELDS = {"type", "title", "status", "detail", "code", "request_id"}


@dataclass(slots=True)
class _Outcome:
    """What has happened so far."""

    statuses: Counter[int] = field(default_factory=Counter)
    positions: int = 0
    slowest: tuple[float, str] = (0.0, "")
    longest_wait: float = 0.0
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def numbered_input(number: int) -> Input:
    """Return an input; it depends on its number alone."""
    return field_input(number, Random(f"{SEED} {number}"))


def run(scale: float) -> Report:
    """Send the small inputs, 26,000 at scale 1, and then the large ones."""
    small = max(len(FIELDS) * 10, round(_INPUTS * scale))
    large = large_inputs()
    large = large[:: max(1, round(1 / scale))]
    outcome = _Outcome()
    with fuzzed_server() as server:
        before = server.resident_bytes()
        for first in range(0, small, _BETWEEN_PROBES):
            numbers = range(first, min(first + _BETWEEN_PROBES, small))
            inputs = [(f"input {number}", numbered_input(number)) for number in numbers]
            asyncio.run(_send_all(server, inputs, outcome, _CONNECTIONS))
            _probe(server, f"inputs {first} to {numbers[-1]}", outcome)
        # One after the other: what is measured is how long one of them keeps others waiting.
        asyncio.run(_send_large(server, [(own.kind, own) for own in large], outcome))
        _probe(server, "the large inputs", outcome)
        # A short run is a test, beside others on the same cores.
        if scale >= 1 and outcome.longest_wait > _MOST_WAIT_SECONDS:
            waited = f"{outcome.longest_wait:.1f} s"
            outcome.failures.append(f"a client had to wait {waited} because of what another had sent")
        lines = server.faults_in_log()
        grown = server.resident_bytes() - before if server.running.process.poll() is None else 0
        outcome.failures += [f"in the server's log: {line}" for line in lines]
        if CANARY in server.log():
            outcome.failures.append("the server's log holds a text")
        if grown > _MOST_GROWTH_BYTES:
            outcome.failures.append(f"the server's memory has grown by {grown} bytes")
    return Report(
        area="fields",
        inputs=small + len(large),
        failures=tuple(outcome.failures),
        facts={
            "answers": ", ".join(f"{status}: {count}" for status, count in sorted(outcome.statuses.items())),
            "checked positions": str(outcome.positions),
            "slowest answer": f"{outcome.slowest[0]:.1f} s ({outcome.slowest[1]})",
            "longest wait of another client": f"{outcome.longest_wait:.1f} s",
            "memory growth": f"{grown / 2**20:.0f} MiB",
        },
    )


def _probe(server: FuzzedServer, after: str, outcome: _Outcome) -> None:
    wrong = server.wrong_with_it()
    if wrong is not None:
        outcome.failures.append(f"after {after} with seed {SEED}: {wrong}")


async def _send_all(
    server: FuzzedServer, inputs: Sequence[tuple[str, Input]], outcome: _Outcome, connections: int
) -> None:
    waiting = iter(inputs)
    await asyncio.gather(*(_send_each(server.port, waiting, outcome) for _ in range(connections)))


async def _send_large(server: FuzzedServer, inputs: Sequence[tuple[str, Input]], outcome: _Outcome) -> None:
    """Send them one by one, while another client asks all the time for something that takes no time."""
    asking = asyncio.create_task(_ask_all_the_time(server.port, outcome))
    await _send_all(server, inputs, outcome, 1)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def _ask_all_the_time(port: int, outcome: _Outcome) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while True:
            began = time.monotonic()
            writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            outcome.longest_wait = max(outcome.longest_wait, time.monotonic() - began)
            await asyncio.sleep(0.02)
    finally:
        writer.close()


async def _send_each(port: int, waiting: Iterator[tuple[str, Input]], outcome: _Outcome) -> None:
    """Send inputs over one connection; open another only where the server ended it."""
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    began = 0.0
    for name, own in waiting:
        if connection is not None and time.monotonic() - began > _FRESH_SECONDS:
            connection[1].close()
            connection = None
        if connection is None:
            connection = await asyncio.open_connection("127.0.0.1", port)
        began = time.monotonic()
        found: str | None
        try:
            async with asyncio.timeout(_MOST_SECONDS):
                answer = await _exchange(*connection, own)
            outcome.slowest = max(outcome.slowest, (time.monotonic() - began, own.kind))
            closing = answer.headers.get("connection") == "close"
            outcome.statuses[answer.status] += 1
            found = _judge(own, answer, outcome)
        except TimeoutError:
            found, closing = f"not answered within {_MOST_SECONDS:.0f} s", True
        except (OSError, asyncio.IncompleteReadError) as error:
            found, closing = f"the connection ended without an answer: {error!r}", True
        if found is not None:
            outcome.failures.append(f"{name} ({own.kind}, {own.path}) with seed {SEED}: {found}")
        if closing:
            connection[1].close()
            connection = None
    if connection is not None:
        connection[1].close()


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, own: Input) -> _Answer:
    headers = {"Host": "localhost", "Content-Length": str(len(own.body)), **own.headers}
    head = f"POST {own.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(head.encode() + b"\r\n" + own.body)
    await writer.drain()
    received = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    answered = dict(line.lower().split(": ", 1) for line in received[1:] if line)
    body = await reader.readexactly(int(answered["content-length"]))
    return _Answer(int(received[0].split()[1]), answered, body)


def _judge(own: Input, answer: _Answer, outcome: _Outcome) -> str | None:
    """Return what is wrong with an answer, or None."""
    if answer.status not in (own.statuses or _STATUSES):
        return f"status {answer.status} for {own.body[:300]!r}: {answer.body[:300]!r}"
    try:
        body = json.loads(answer.body)
    except ValueError:
        return f"the answer is not JSON: {answer.body[:300]!r}"
    if answer.status == 200:
        return _judge_positions(own, body, outcome)
    kind = "application/json" if own.path.startswith("/v2/") else "application/problem+json"
    if not set(body) >= _PROBLEM_FIELDS or answer.headers["content-type"] != kind:
        return f"not a problem: {answer.body[:300]!r}"
    if body["status"] != answer.status or body["request_id"] != answer.headers.get("x-request-id"):
        return f"a problem of something else: {answer.body[:300]!r}"
    if len(answer.body) > _MOST_PROBLEM_BYTES or CANARY.encode() in answer.body:
        return f"a problem that repeats the text: {answer.body[:300]!r}"
    return None


def _judge_positions(own: Input, body: Any, outcome: _Outcome) -> str | None:
    """Check that every position in an answer cuts out of the text what the answer says."""
    sent = json.loads(own.body.decode("utf-8-sig"))
    unit = sent.get("offsets", "code_points")
    for text, spans in _texts_and_spans(own.path, sent, body):
        cut = _cutter(text, unit)
        for expected, start, end in spans:
            outcome.positions += 1
            if cut(start, end) != expected:
                return f"[{start}:{end}] in {unit} of {text!r} is not {expected!r}"
    return None


def _texts_and_spans(path: str, sent: dict[str, Any], body: Any) -> Iterator[tuple[Any, Iterable[_Span]]]:
    """Return each text with what an answer says stands where in it."""
    if path == "/tokenize":
        texts = sent["inputs"] if isinstance(sent["inputs"], list) else [sent["inputs"]]
        for text, tokens in zip(texts, body, strict=True):
            yield text, [(own["text"], own["start"], own["stop"]) for own in tokens if own["start"] is not None]
    elif path.startswith("/v2/"):
        (wanted,) = [output["data"] for output in body["outputs"] if output["name"] == "json"]
        for number, result in enumerate(wanted):
            text = sent["inputs"][0]["data"][number]
            yield text, [(own["text"], own["start"], own["end"]) for own in json.loads(result)["entities"]]
    elif "inputs" in sent:
        inputs, answers = (sent["inputs"], body) if isinstance(sent["inputs"], list) else ([sent["inputs"]], [body])
        for given, answer in zip(inputs, answers, strict=True):
            text = given["context"] if path == "/qa" else given
            yield text, _pipeline_spans(answer if isinstance(answer, list) else [answer])
    elif path in _NATIVE_TEXTS:
        texts = sent.get(_NATIVE_TEXTS[path])
        results = body.get("results", [body])
        texts = texts if isinstance(texts, list) else [texts] * len(results)
        for text, result in zip(texts, results, strict=True):
            yield text, _spans(path, sent, result)


def _pipeline_spans(entries: Sequence[Any]) -> Iterator[_Span]:
    for own in entries:
        if isinstance(own, dict) and "start" in own:
            yield own["answer"] if "answer" in own else own["word"], own["start"], own["end"]


def _cutter(text: Any, unit: str) -> Callable[[int, int], str]:
    """Return what cuts out of a text what stands between two positions in a unit."""
    if unit == "code_points":
        return lambda start, end: str(text[start:end])
    coding, width = {"utf16": ("utf-16-le", 2), "utf8": ("utf-8", 1)}[unit]
    encoded = text.encode(coding) if isinstance(text, str) else b""
    return lambda start, end: encoded[start * width : end * width].decode(coding, "replace")


def _spans(path: str, sent: dict[str, Any], result: dict[str, Any]) -> Iterator[_Span]:
    match path:
        case "/qa":
            found = [(span["answer"], span) for span in (result, *result["alternatives"])]
        case "/ner":
            found = [(entity["text"], entity) for entity in result["entities"]]
        case "/embed":
            found = [(token["text"], token) for token in result["tokens"] or ()]
        case _:
            mask = sent.get("mask") or "[MASK]"
            found = [(mask, one) for predictions in result["predictions"] for one in predictions]
    yield from ((expected, span["start"], span["end"]) for expected, span in found)


def main(number: int) -> None:
    """Send one input again and print what comes back."""
    own = numbered_input(number)

    async def send(port: int) -> _Answer:
        return await _exchange(*await asyncio.open_connection("127.0.0.1", port), own)

    with fuzzed_server() as server:
        print(own.kind, own.path, own.headers, own.body[:4000], asyncio.run(send(server.port)), sep="\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
