"""Every item of the data to the model and back, a few at a time; nothing is dropped without a word.

A text that the service refuses (422, 413: whitespace, too long) is an outcome like an answer. A full queue (429) or a
server that is not ready (503) is asked again when it says. Anything else ends the evaluation: its figures would not
be those of the model.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from evaluation.connection import Connection, explain
from evaluation.errors import EvaluationError
from evaluation.progress import Progress

_REFUSED = (httpx.codes.UNPROCESSABLE_ENTITY, httpx.codes.REQUEST_ENTITY_TOO_LARGE)
_BUSY = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)
_LOST_CONNECTIONS = 3
# Of a connection beyond the time that the service itself allows for an answer.
_GRACE_SECONDS = 30
_LONGEST_UNASKED_WAIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service said; `tokens` is how many the model read for it, over all windows."""

    body: Mapping[str, Any]
    tokens: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the service does not take an item."""

    reason: str


Outcome = Answer | Refusal


@dataclass(frozen=True, slots=True)
class Asking:
    """How the service is asked.

    Attributes:
        concurrency: Requests under way at once.
        timeout_seconds: Time for one answer.
        patience_seconds: How long one request is put off in all by a server that is busy.
        sleep: Waits for seconds.
    """

    concurrency: int = 8
    timeout_seconds: float = 600
    patience_seconds: float = 300
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


async def ask_all(
    connection: Connection, path: str, bodies: Sequence[Mapping[str, Any]], asking: Asking
) -> list[Outcome]:
    """Return the outcomes in the order of the bodies.

    Raises:
        EvaluationError: A request got neither an answer nor a refusal.
    """
    outcomes: list[Outcome | None] = [None] * len(bodies)
    pending = iter(enumerate(bodies))
    description = f"{connection.model.name} ({connection.model.precision})"
    try:
        with Progress(description, len(bodies)) as progress:
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(asking.concurrency, len(bodies))):
                    workers.create_task(_work(connection, path, pending, outcomes, progress, asking))
    except* EvaluationError as errors:
        raise errors.exceptions[0] from None
    return [outcome for outcome in outcomes if outcome is not None]


async def _work(
    connection: Connection,
    path: str,
    pending: Iterator[tuple[int, Mapping[str, Any]]],
    outcomes: list[Outcome | None],
    progress: Progress,
    asking: Asking,
) -> None:
    """Take one body after the other, until none is left."""
    for index, body in pending:
        outcomes[index] = await _ask(connection, path, body, asking)
        progress.advance()


async def _ask(connection: Connection, path: str, body: Mapping[str, Any], asking: Asking) -> Outcome:
    request = {
        **body,
        "model": connection.model.name,
        "timeout_ms": math.ceil(asking.timeout_seconds * 1000),
    }
    waited, lost, attempt = 0.0, 0, 0
    while True:
        try:
            response = await connection.client.post(path, json=request, timeout=asking.timeout_seconds + _GRACE_SECONDS)
        except httpx.TransportError as error:
            lost += 1
            problem, wait = f"no answer: {error or type(error).__name__}", None
            if lost == _LOST_CONNECTIONS:
                raise EvaluationError(f"{connection.target.place}: {problem}") from error
        else:
            if response.status_code == httpx.codes.OK:
                return _answer(connection, response)
            problem = explain(response)
            if response.status_code in _REFUSED:
                return Refusal(problem)
            if response.status_code not in _BUSY:
                raise EvaluationError(f"{connection.target.place}: {problem}")
            wait = _retry_after(response)
        attempt += 1
        wait = min(2.0 ** (attempt - 1), _LONGEST_UNASKED_WAIT_SECONDS) if wait is None else wait
        waited += wait
        if waited > asking.patience_seconds:
            raise EvaluationError(f"{connection.target.place}: still busy after {attempt} attempts: {problem}")
        await asking.sleep(wait)


def _answer(connection: Connection, response: httpx.Response) -> Answer:
    try:
        body = response.json()
        return Answer(body, int(body["usage"]["tokens"]))
    except (ValueError, KeyError, TypeError) as error:
        raise EvaluationError(f"{connection.target.place}: an answer is not that of bigbird-serve") from error


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that a response asks to wait, given as such or as a date."""
    value = response.headers.get("retry-after", "")
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
