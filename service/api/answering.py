"""From what a request asks for to its answer: the one way through a model, whatever dialect the request was in.

A route reads a body and says with `Asked` what the tasks are to do and how their answers are written. Admission, the
limits, the deadline, metrics and the log are the same for all.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from bigbird_inference.errors import DeadlineUnreachable, NotReady, QueueFull
from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.manifest import TaskName
from bigbird_inference.tasks.base import Task
from service.answer_limits import AnswerBytes, answered_within
from service.api.disconnect import unless_disconnected
from service.api.request_state import MODEL_REVISION_HEADER, TOKENS_HEADER, WINDOWS_HEADER, request_record
from service.request_run import ItemFailed, ItemResult, WrittenT, infer
from service.serving import Serving
from service.telemetry.request_record import Dialect, RequestRecord

# What a connection is given at once, and holds until its client has read most of it. A client that reads so much within
# the write timeout is not a slow one.
_PIECE_BYTES = 2**20
# An answer of one item that is made in well under a millisecond.
_MADE_AT_ONCE = 2**16


ItemT = TypeVar("ItemT", bound=Sized)


def _own_task(model: LoadedModel) -> Task[Any, Any]:
    return model.task


@dataclass(frozen=True, slots=True)
class Answered(Generic[WrittenT]):
    """What a request's answer is made of.

    Attributes:
        model: The model that answered.
        items: Each item's answer, in their order.
        record: What it took.
    """

    model: LoadedModel
    items: list[WrittenT]
    record: RequestRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Generic[WrittenT]):
    """What a request asks for.

    Attributes:
        dialect: In whose terms.
        served_by: The task of the models that can answer.
        model: The name of one of them, or None for the only one.
        items: Requests of the task, one for each item.
        listed: Whether the request holds a list: an error then says which item it is about.
        write: Makes bytes, or what holds them, of an item's result; called on several threads.
        respond: Makes JSON of all of them.
        timeout_ms: Time for everything in milliseconds, or None for the server's.
        task: What encodes and decodes, if that is not the model's own task.
        headers: Of the answer.
        names: What the task's fields are called in these terms, for messages.
        common: Fields that all items have in common: what is wrong with one is not said of an item.
        takes_long: Whether `respond` does more than to join what is written, and so runs beside the event loop.
    """

    dialect: Dialect
    served_by: TaskName
    model: str | None = None
    items: Sequence[Any]
    listed: bool
    write: Callable[[LoadedModel, ItemResult], WrittenT]
    respond: Callable[[Answered[WrittenT]], Iterable[bytes]]
    timeout_ms: int | None = None
    task: Callable[[LoadedModel], Task[Any, Any]] = _own_task
    headers: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    common: frozenset[str] = frozenset()
    takes_long: bool = False

    def told(self, failure: ItemFailed) -> Exception:
        """Return what is raised for an item that failed."""
        error = failure.error
        of_all = error.detail.partition(" ")[0] in self.common
        error.detail = _renamed(error.detail, self.names)
        return error if of_all or not self.listed else ItemFailed(failure.index, error)


def _renamed(detail: str, names: Mapping[str, str]) -> str:
    """Return a message with other names of fields: first words, and what no sentence has for a word."""
    for name, other in names.items():
        if "_" in name:
            detail = detail.replace(name, other)
        elif detail.startswith(f"{name} "):
            detail = other + detail.removeprefix(name)
    return detail


async def answer(request: Request, serving: Serving, asked: Asked[WrittenT]) -> Response:
    """Run a request's items through its model; its work is cancelled when its client goes.

    Args:
        request: Its body has been read.
        serving: The running service.
        asked: What it asks for.

    Raises:
        ServiceError: It cannot be answered.
        ItemFailed: An item of a list cannot.
        ClientGone: Its client went first.
    """
    record = request_record(request)
    record.dialect = asked.dialect
    with serving.models.lease(asked.served_by, asked.model) as model:
        items = await _run(request, serving, model, asked)
        make = partial(_made, asked, Answered(model, items, record))
        big = len(items) > 1 or sum(map(len, items)) > _MADE_AT_ONCE
        parts = await asyncio.to_thread(make) if asked.takes_long and big else make()
    headers = {MODEL_REVISION_HEADER: model.revision, **asked.headers}
    if asked.dialect != "native":
        # Other dialects have no place for it in their answers.
        headers[TOKENS_HEADER] = str(sum(item.tokens for item in record.items))
        headers[WINDOWS_HEADER] = str(sum(item.windows for item in record.items))
    return _Parts(parts, headers)


def _made(asked: Asked[WrittenT], answered: Answered[WrittenT]) -> deque[bytes]:
    return deque(asked.respond(answered))


async def _run(request: Request, serving: Serving, model: LoadedModel, asked: Asked[WrittenT]) -> list[WrittenT]:
    """Return each item's answer as it was written."""
    record = request_record(request)
    record.model = model.name
    record.endpoint = request.scope["route"].path
    record.stages.until("parse", serving.scheduler.now())
    timeout_ms = asked.timeout_ms or serving.settings.timeout_ms
    try:
        serving.ensure_running()
        serving.ensure_undamaged(model.name)
        task, write = asked.task(model), partial(asked.write, model)
        work = infer(serving, model, task, asked.items, timeout_ms, record, write, request.state.hold_answer)
        return await unless_disconnected(request, work)
    except (QueueFull, NotReady, DeadlineUnreachable) as refusal:
        if not record.items:  # otherwise it was accepted, and the server went
            record.refused = refusal.code
            serving.metrics.request_refused(refusal.code)
        raise
    except ItemFailed as failure:
        raise asked.told(failure) from failure


async def answer_without_run(
    request: Request,
    serving: Serving,
    dialect: Dialect,
    name: str | None,
    items: Sequence[ItemT],
    write: Callable[[LoadedModel, ItemT], bytes],
) -> Response:
    """Answer a list with what a model's vocabulary alone can tell, by the same rules.

    Args:
        request: Its body has been read.
        serving: The running service.
        dialect: In whose terms it is.
        name: The model's, or None for the only one.
        items: What to answer; their lengths are how much work they are, about.
        write: Makes JSON of an item's answer; called on several threads.

    Raises:
        ServiceError: It cannot be answered.
        ClientGone: Its client went first.
    """
    record = request_record(request)
    record.dialect = dialect
    chosen = serving.models.choose_any(name)
    answer_bytes = AnswerBytes(serving.settings.max_answer_bytes, None, request.state.hold_answer)

    async def written() -> list[bytes]:
        parts = []
        async with answered_within(serving.settings.timeout_ms):
            with serving.text_turns.shares.open(record.key) as share:
                for item in items:
                    parts.append(await serving.text_turns.run(share, len(item), partial(write, chosen, item)))
                    answer_bytes.add(len(parts[-1]))
        return parts

    with serving.models.lease(chosen.manifest.task, chosen.name) as model:
        record.model = model.name
        serving.ensure_running()
        serving.ensure_undamaged(model.name)
        parts = await unless_disconnected(request, written())
    return _Parts(deque(json_list(parts)), {MODEL_REVISION_HEADER: model.revision})


class _Parts(Response):
    """An answer that is let go of as it is sent: however slowly its client reads, its connection holds little of it.

    Args:
        parts: What is sent, in order.
        headers: Beside its length; JSON unless they say otherwise.
    """

    def __init__(self, parts: deque[bytes], headers: Mapping[str, str]) -> None:
        self._parts = parts
        length = str(sum(map(len, parts)))
        super().__init__(headers={"Content-Type": "application/json", **headers, "Content-Length": length})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send piece by piece; the server takes the next one when its client has read enough."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for piece, more in self._pieces():
            await send({"type": "http.response.body", "body": piece, "more_body": more})

    def _pieces(self) -> Iterator[tuple[bytes, bool]]:
        """Yield what is sent at once, and whether more follows."""
        piece = bytearray()
        while self._parts:
            part = self._parts.popleft()
            for first in range(0, len(part), _PIECE_BYTES):
                piece += part[first : first + _PIECE_BYTES]
                if len(piece) >= _PIECE_BYTES:
                    yield bytes(piece), True
                    piece.clear()
        yield bytes(piece), False


def listed_items(answered: Answered[bytes]) -> Iterator[bytes]:
    """Yield all items as a JSON list."""
    return json_list(answered.items)


def json_list(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a JSON list of values that are JSON already."""
    yield b"["
    for number, part in enumerate(parts):
        yield from (b",", part) if number else (part,)
    yield b"]"
