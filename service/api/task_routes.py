"""`POST /qa`, `/classify`, `/ner` and the routes of all other tasks: from a checked body through a model to JSON."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

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
from service.request_run import ItemFailed, ItemResult, infer
from service.serving import Serving

# Beyond so many, an answer can take longer to write than it takes to hand it to another thread.
_TOKENS_WRITTEN_AT_ONCE = 2_000


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
        results = await _results(request, serving, model, body, items, listed=listed)
    write = partial(_write, bodies, model.name, results, listed=listed)
    if sum(result.usage.tokens for result in results) <= _TOKENS_WRITTEN_AT_ONCE:
        content = write()
    else:
        content = await asyncio.get_running_loop().run_in_executor(serving.text_threads, write)
    return Response(content, media_type="application/json", headers={MODEL_REVISION_HEADER: model.revision})


def _write(bodies: TaskBodies, model: str, results: Sequence[ItemResult], *, listed: bool) -> bytes:
    """Write the answer once: FastAPI would check it twice more, which takes seconds for a hundred thousand entities."""
    answers = [bodies.write(model, result) for result in results]
    return b'{"results":[' + b",".join(answers) + b"]}" if listed else answers[0]


async def _results(
    request: Request, serving: Serving, model: LoadedModel, body: RequestBody, items: Sequence[Any], *, listed: bool
) -> list[ItemResult]:
    record = request_record(request)
    record.model = model.name
    record.stages.until("parse", serving.scheduler.now())
    timeout_ms = body.timeout_ms or serving.settings.timeout_ms
    try:
        serving.ensure_running()
        serving.ensure_undamaged(model.name)
        return await unless_disconnected(request, infer(serving, model, items, timeout_ms, record))
    except (QueueFull, NotReady, DeadlineUnreachable) as refusal:
        if not record.items:  # otherwise it was accepted, and the server went
            record.refused = refusal.code
            serving.metrics.request_refused(refusal.code)
        raise
    except ItemFailed as failure:
        if listed:
            raise
        raise failure.error from failure
