"""Every item of the data to the model and back, a few at a time; nothing is dropped without a word.

A text that the service refuses (422, 413: whitespace, too long) is an outcome like an answer. A full queue (429) or a
server that is not ready (503) is asked again when it says. Anything else ends the evaluation, a refused option (422)
included: its figures would not be those of the model.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from bigbird_inference.progress import Progress
from bigbird_inference.tasks.registry import TASKS
from evaluation.connection import Connection, explain
from evaluation.errors import EvaluationError

_REFUSED = (httpx.codes.UNPROCESSABLE_ENTITY, httpx.codes.REQUEST_ENTITY_TOO_LARGE)
_BUSY = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)
_LOST_CONNECTIONS = 3
# Of a connection beyond the time that the service itself allows for an answer.
_GRACE_SECONDS = 30
_LONGEST_UNASKED_WAIT_SECONDS = 30.0
_SHORTEST_WAIT_SECONDS = 1.0
# Fields whose values are options of the command; what is wrong with them has nothing to do with the text.
_OPTIONS = frozenset({"timeout_ms"} | {name for task in TASKS.values() for name in task.operation.options})


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
Keep = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Returns what is needed of the body of an answer."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How the service is asked.

    Attributes:
        concurrency: Requests under way at once.
        timeout_seconds: Time for one answer.
        patience_seconds: How long one request is put off by a server that is busy, from the first time it says so.
        sleep: Waits for seconds.
        clock: Tells seconds from any beginning.
    """

    concurrency: int = 8
    timeout_seconds: float = 600
    patience_seconds: float = 300
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic


async def ask_all(
    connection: Connection,
    path: str,
    bodies: Sequence[Mapping[str, Any]],
    asking: Asking,
    keep: Keep = lambda body: body,
) -> list[Outcome]:
    """Return the outcomes in the order of the bodies.

    Args:
        connection: The way to the model.
        path: Of the task.
        bodies: Of the requests.
        asking: How they are sent.
        keep: All answers are kept until the end, cut down like this.

    Raises:
        EvaluationError: A request got neither an answer nor a refusal, or an option was refused.
    """
    outcomes: list[Outcome | None] = [None] * len(bodies)
    asker = _Asker(connection, path, asking, keep)
    pending = iter(enumerate(bodies))
    description = f"{connection.model.name} ({connection.model.precision})"
    try:
        with Progress(description, len(bodies), "request") as progress:
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(asking.concurrency, len(bodies))):
                    workers.create_task(_work(asker, pending, outcomes, progress))
    except* EvaluationError as errors:
        raise errors.exceptions[0] from None
    return [outcome for outcome in outcomes if outcome is not None]


async def _work(
    asker: "_Asker",
    pending: Iterator[tuple[int, Mapping[str, Any]]],
    outcomes: list[Outcome | None],
    progress: Progress,
) -> None:
    """Take one body after the other, until none is left."""
    for index, body in pending:
        outcomes[index] = await asker.ask(body)
        progress.advance()


@dataclass(frozen=True, slots=True)
class _Asker:
    """What is the same for every request."""

    connection: Connection
    path: str
    asking: Asking
    keep: Keep

    async def ask(self, body: Mapping[str, Any]) -> Outcome:
        lost, busy, since = 0, 0, 0.0
        while True:
            try:
                response = await self._send(body)
            except httpx.RequestError as error:
                lost += 1
                if lost == _LOST_CONNECTIONS:
                    raise self._error(f"no answer: {error or type(error).__name__}") from error
                await self.asking.sleep(_backoff(lost + busy))
                continue
            if response.status_code not in _BUSY:
                return self._outcome(response)
            since = since if busy else self.asking.clock()
            busy += 1
            wait = _retry_after(response)
            wait = _backoff(lost + busy) if wait is None else max(wait, _SHORTEST_WAIT_SECONDS)
            if self.asking.clock() - since + wait > self.asking.patience_seconds:
                raise self._error(f"still busy after {lost + busy} attempts: {explain(response)}")
            await self.asking.sleep(wait)

    async def _send(self, body: Mapping[str, Any]) -> httpx.Response:
        seconds = self.asking.timeout_seconds
        request = {**body, "model": self.connection.model.name, "timeout_ms": math.ceil(seconds * 1000)}
        return await self.connection.client.post(self.path, json=request, timeout=seconds + _GRACE_SECONDS)

    def _outcome(self, response: httpx.Response) -> Outcome:
        if response.status_code == httpx.codes.OK:
            return self._answer(response)
        problem = explain(response)
        if response.status_code not in _REFUSED:
            raise self._error(problem)
        if _blamed(response) & _OPTIONS:
            raise self._error(f"an option was refused: {problem}")
        return Refusal(problem)

    def _answer(self, response: httpx.Response) -> Answer:
        try:
            body = response.json()
            return Answer(self.keep(body), int(body["usage"]["tokens"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._error("an answer is not that of bigbird-serve") from error

    def _error(self, problem: str) -> EvaluationError:
        return EvaluationError(f"{self.connection.target.place}: {problem}")


def _blamed(response: httpx.Response) -> set[str]:
    """Return the fields that a problem response names: in its list of errors, or at the head of its sentence."""
    try:
        problem = response.json()
        return {error["field"] for error in problem.get("errors") or []} | set(problem["detail"].split()[:1])
    except (ValueError, KeyError, TypeError, AttributeError):
        return set()


def _backoff(attempt: int) -> float:
    """Return the seconds to wait after an attempt, counted from 1, where nothing is said about it."""
    return min(2.0 ** (attempt - 1), _LONGEST_UNASKED_WAIT_SECONDS)


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that a response asks to wait, given as such or as a date; None if it does not say."""
    value = response.headers.get("retry-after", "")
    if value.isdecimal():
        return float(value)
    try:
        return (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
