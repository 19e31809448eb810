"""What the bodies and routes of all dialects have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from service.api.answering import Asked
from service.api.authentication import RequireKey
from service.api.json_body import JsonRoute
from service.api.problems import TASK_PROBLEMS
from service.settings import Settings

Truncate = Annotated[
    bool | None,
    Field(description="Makes no difference: nothing is ever cut, and longer texts are read in windows."),
]

AnyModel = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=255,
        description="Name of a model, from `/v1/models`. Not needed where only one can be meant.",
    ),
]


def dialect_router() -> APIRouter:
    """Return a router for routes on which a model is asked with JSON."""
    return APIRouter(route_class=JsonRoute, tags=["dialects"], dependencies=[RequireKey], responses=TASK_PROBLEMS)


def _with_example(schema: dict[str, Any]) -> None:
    """Give a body's schema an example, what `/docs` fills in to be tried: no more than a request needs."""
    examples = {name: schema["properties"][name].get("examples") for name in schema.get("required", [])}
    if examples and all(examples.values()):
        schema["examples"] = [{name: values[0] for name, values in examples.items()}]


class DialectBody(BaseModel):
    """Strict types, and no field that is not known: what cannot be obeyed is refused by its name."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, json_schema_extra=_with_example)


@dataclass(frozen=True, slots=True)
class Form:
    """One way to ask a task, and to be answered.

    Attributes:
        body: Of a request.
        answer: What the answer's JSON is.
        asked: Turns a body into requests of the task.
    """

    body: type[DialectBody]
    answer: Any
    asked: Callable[[Any, Settings], Asked[Any]]
