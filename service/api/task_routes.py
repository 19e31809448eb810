"""`POST /qa`, `/classify`, `/ner` and the routes of all other tasks: from a checked body through a model to JSON."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from bigbird_inference.errors import DeadlineUnreachable, NotReady, QueueFull
from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.manifest import TaskName
from bigbird_inference.tasks.registry import TASKS
from service.api.authentication import RequireKey
from service.api.disconnect import unless_disconnected
from service.api.json_body import JsonRoute
from service.api.problems import documented_problems
from service.api.request_state import MODEL_REVISION_HEADER, ServingDependency, request_record
from service.api.task_bodies import RequestBody, Results, TaskBodies
from service.request_run import ItemFailed, infer
from service.serving import Serving

# What a connection is given at once, and holds until its client has read most of it. A client that reads so much within
# the write timeout is not a slow one.
_PIECE_BYTES = 2**20


def task_routes() -> APIRouter:
    """Return the routes of all tasks."""
    router = APIRouter(
        route_class=JsonRoute,
        tags=["tasks"],
        dependencies=[RequireKey],
        responses=documented_problems(400, 404, 405, 408, 413, 415, 422, 429, 500, 503, 504),
    )
    for task in TASKS:
        _add_route(router, task)
    return router


def _add_route(router: APIRouter, task: TaskName) -> None:
    operation = TASKS[task].operation
    bodies = TaskBodies(operation)
    request_body, answer_body = bodies.request, bodies.answer

    async def answer(request: Request, body: request_body, serving: ServingDependency) -> Response:  # type: ignore[valid-type]
        return await _answer(request, serving, task, bodies, body)

    router.add_api_route(
        f"/{task}",
        answer,
        methods=["POST"],
        name=operation.name,
        summary=operation.summary,
        description=operation.description,
        response_model=answer_body | Results[answer_body],  # type: ignore[valid-type]
    )


async def _answer(
    request: Request, serving: Serving, task: TaskName, bodies: TaskBodies, body: RequestBody
) -> Response:
    """Run a request's items through its model; its work is cancelled when its client goes."""
    items, listed = bodies.items(body, serving.settings)
    with serving.models.lease(task, body.model) as model:
        answers = await _answers(request, serving, model, bodies, body, items, listed=listed)
    return _Json(_list_of(answers) if listed else answers, {MODEL_REVISION_HEADER: model.revision})


class _Json(Response):
    """JSON that is let go of as it is sent: however slowly its client reads, its connection holds little of it.

    Args:
        parts: The JSON, in order.
        headers: Beside its type and length.
    """

    media_type = "application/json"

    def __init__(self, parts: Iterable[bytes], headers: Mapping[str, str]) -> None:
        self._parts = deque(parts)
        super().__init__(headers={**headers, "Content-Length": str(sum(map(len, self._parts)))})

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


def _list_of(answers: Iterable[bytes]) -> Iterator[bytes]:
    yield b'{"results":['
    for number, answer in enumerate(answers):
        yield from (b",", answer) if number else (answer,)
    yield b"]}"


async def _answers(
    request: Request,
    serving: Serving,
    model: LoadedModel,
    bodies: TaskBodies,
    body: RequestBody,
    items: Sequence[Any],
    *,
    listed: bool,
) -> list[bytes]:
    """Return each item's answer as JSON."""
    record = request_record(request)
    record.model = model.name
    record.stages.until("parse", serving.scheduler.now())
    timeout_ms = body.timeout_ms or serving.settings.timeout_ms
    try:
        serving.ensure_running()
        serving.ensure_undamaged(model.name)
        write = partial(bodies.write, model.name)
        work = infer(serving, model, items, timeout_ms, record, write, request.state.hold_answer)
        return await unless_disconnected(request, work)
    except (QueueFull, NotReady, DeadlineUnreachable) as refusal:
        if not record.items:  # otherwise it was accepted, and the server went
            record.refused = refusal.code
            serving.metrics.request_refused(refusal.code)
        raise
    except ItemFailed as failure:
        if listed:
            raise
        raise failure.error from failure
