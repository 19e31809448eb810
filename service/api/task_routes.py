"""`POST /qa`, `/classify`, `/ner` and the routes of all other tasks, in their own form and in that of Hugging Face.

A body with `inputs` is in the latter (`service.dialects.huggingface`).
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from pydantic import BaseModel, Discriminator, Tag

from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.manifest import TaskName
from bigbird_inference.tasks.registry import TASKS
from service.api.answering import Answered, Asked, answer, json_list
from service.api.authentication import RequireKey
from service.api.json_body import JsonRoute
from service.api.problems import TASK_PROBLEMS
from service.api.request_state import ServingDependency
from service.api.task_bodies import DIALECT_FORM, NATIVE_FORM, SIMILARITY_FORM, RequestBody, TaskBodies
from service.dialects.bodies import Form
from service.dialects.huggingface import FORMS
from service.dialects.vectors import SIMILARITY
from service.request_run import ItemResult
from service.settings import Settings


def task_routes() -> APIRouter:
    """Return the routes of all tasks."""
    router = APIRouter(route_class=JsonRoute, tags=["tasks"], dependencies=[RequireKey], responses=TASK_PROBLEMS)
    for task in TASKS:
        _add_route(router, task)
    return router


def _add_route(router: APIRouter, task: TaskName) -> None:
    operation = TASKS[task].operation
    bodies = TaskBodies(operation)
    answers: Any = bodies.answer | bodies.results
    forms: dict[type[BaseModel], Form] = {form.body: form for form in _forms(task)}
    bodies_accepted = _told_apart(bodies.request, list(forms))
    for form in forms.values():
        answers |= form.answer

    async def route(request: Request, body: bodies_accepted, serving: ServingDependency) -> Response:  # type: ignore[valid-type]
        form = forms.get(type(body))
        asked = _native(task, bodies, body, serving.settings) if form is None else form.asked(body, serving.settings)
        return await answer(request, serving, asked)

    router.add_api_route(
        f"/{task}",
        route,
        methods=["POST"],
        name=operation.name,
        summary=operation.summary,
        description=operation.description,
        response_model=answers,
    )


def _forms(task: TaskName) -> list[Form]:
    return ([FORMS[task]] if task in FORMS else []) + ([SIMILARITY] if task == "embed" else [])


def _told_apart(native: type[BaseModel], others: list[type[BaseModel]]) -> Any:
    """Return the type of a body that may be in any of the forms; what is wrong is told of the one that it is in."""
    if not others:
        return native
    forms = dict(zip((NATIVE_FORM, DIALECT_FORM, SIMILARITY_FORM), (native, *others), strict=False))

    def form_of(body: Any) -> str:
        if not isinstance(body, dict):
            return next((name for name, form in forms.items() if isinstance(body, form)), NATIVE_FORM)
        if "inputs" not in body:
            return NATIVE_FORM
        # The inputs of `qa` are an object in its only other form, too.
        return SIMILARITY_FORM if SIMILARITY_FORM in forms and isinstance(body["inputs"], dict) else DIALECT_FORM

    tagged: Any = Annotated[native, Tag(NATIVE_FORM)]
    for name, form in list(forms.items())[1:]:
        tagged |= Annotated[form, Tag(name)]
    return Annotated[tagged, Discriminator(form_of), Body()]


def _native(task: TaskName, bodies: TaskBodies, body: RequestBody, settings: Settings) -> Asked[bytes]:
    items, listed = bodies.items(body, settings)

    def write(model: LoadedModel, result: ItemResult) -> bytes:
        return bodies.write(model.name, result)

    respond = _results if listed else _alone
    return Asked(
        dialect="native",
        served_by=task,
        model=body.model,
        items=items,
        listed=listed,
        write=write,
        respond=respond,
        timeout_ms=body.timeout_ms,
    )


def _alone(answered: Answered[bytes]) -> Iterable[bytes]:
    return answered.items


def _results(answered: Answered[bytes]) -> Iterator[bytes]:
    yield b'{"results":'
    yield from json_list(answered.items)
    yield b"}"
