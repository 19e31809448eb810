"""What the task routes have in common: sizes, pairing of lists, the way through a model, the shape of the answer.

A request whose client has gone is given up.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request, Response

from bigbird_inference.bundle import TaskName
from bigbird_inference.errors import DeadlineUnreachable, InvalidInput, NotReady, QueueFull, TextTooLarge
from bigbird_inference.loaded_model import LoadedModel
from service.api.answer_schemas import AnswerBody
from service.api.authentication import RequireKey
from service.api.json_body import JsonRoute
from service.api.problems import documented_problems
from service.api.request_context import request_record
from service.api.request_schemas import RequestBody
from service.request_run import ItemFailed, ItemResult, infer
from service.serving import Serving
from service.settings import Settings

# Not a registered status and never sent: proxies and dashboards know it as "client closed request".
CLIENT_GONE_STATUS = 499

ResultT = TypeVar("ResultT")


class ClientGone(Exception):
    """The client closed the connection before its answer was there."""


async def unless_disconnected(request: Request, work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Do the work, but cancel it as soon as the client closes the connection.

    The request's body must have been read: after it the only message left is the disconnection.

    Raises:
        ClientGone: The client went first.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_disconnection(request))
    try:
        await asyncio.wait([working, watching], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _disconnection(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


OneOrMany = str | list[str]

# Beyond so many, an answer can take longer to write than it takes to hand it to another thread.
_TOKENS_WRITTEN_AT_ONCE = 2_000


async def get_serving(request: Request) -> Serving:
    """Return the running service; a coroutine, because FastAPI runs plain functions on other threads."""
    serving: Serving = request.app.state.serving
    return serving


ServingDependency = Annotated[Serving, Depends(get_serving)]


def task_router() -> APIRouter:
    """Return a router for routes that take JSON and can end in any of a task's problems."""
    return APIRouter(
        route_class=JsonRoute,
        tags=["tasks"],
        dependencies=[RequireKey],
        responses=documented_problems(400, 404, 405, 408, 413, 415, 422, 429, 500, 503, 504),
    )


def each(value: OneOrMany) -> list[str]:
    """Return the texts of a field."""
    return [value] if isinstance(value, str) else value


def check_sizes(settings: Settings, **fields: OneOrMany | None) -> None:
    """Check lists and texts against the configured limits.

    Raises:
        TextTooLarge: A list or a text is too long; the message names the field.
    """
    for name, value in fields.items():
        texts = [] if value is None else each(value)
        if len(texts) > settings.max_list_items:
            raise TextTooLarge(f"{name} has {len(texts)} items; at most {settings.max_list_items} are accepted.")
        for text in texts:
            if len(text) > settings.max_characters:
                raise TextTooLarge(
                    f"{name} has a text of {len(text)} characters; at most {settings.max_characters} are accepted."
                )


def pair_up(first_name: str, first: OneOrMany, second_name: str, second: OneOrMany) -> list[tuple[str, str]]:
    """Pair two fields item by item; a single text goes with every item of the other field.

    Raises:
        InvalidInput: Both are lists, of different lengths.
    """
    if isinstance(first, str):
        return [(first, text) for text in each(second)]
    if isinstance(second, str):
        return [(text, second) for text in first]
    if len(first) != len(second):
        raise InvalidInput(
            f"{first_name} has {len(first)} items and {second_name} {len(second)}; two lists must be equally long."
        )
    return list(zip(first, second, strict=True))


async def answer_task(
    request: Request,
    serving: Serving,
    task: TaskName,
    body: RequestBody,
    items: Sequence[Any],
    *,
    listed: bool,
    shape: Callable[[str, ItemResult], AnswerBody],
) -> Response:
    """Run a request's items through its model.

    Args:
        request: The HTTP request; its work is cancelled when its client goes.
        serving: The running service.
        task: The route's task.
        body: The request's body.
        items: What the task encodes, one for each item.
        listed: Whether the request held a list, and wants one back.
        shape: Makes an answer's body from the model's name and an item's result.
    """
    with serving.models.lease(task, body.model) as model:
        name = model.name
        results = await _results(request, serving, model, body, items, listed=listed)
    write = partial(_write, results, partial(shape, name), listed=listed)
    if sum(result.usage.tokens for result in results) <= _TOKENS_WRITTEN_AT_ONCE:
        content = write()
    else:
        content = await asyncio.get_running_loop().run_in_executor(serving.text_threads, write)
    return Response(content, media_type="application/json")


def _write(results: Sequence[ItemResult], shape: Callable[[ItemResult], AnswerBody], *, listed: bool) -> bytes:
    """Write the answer once: FastAPI would check it twice more, which takes seconds for a hundred thousand entities."""
    answers = [shape(result).model_dump_json().encode() for result in results]
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
