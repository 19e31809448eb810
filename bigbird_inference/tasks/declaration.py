"""How a task declares its request and its answer: once, for HTTP, for evaluation and for whoever calls it from Python.

Both are dataclasses, whose fields say type, limits, default and description in pydantic's terms. They are checked where
they come in from outside: `service.api.task_bodies` makes the bodies and routes of HTTP from them, and whoever reads
requests from elsewhere can check them with `pydantic.TypeAdapter`. `Operation` ties the two together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_type_hints

from pydantic import Field

VISIBLE_PATTERN = r"\S"
"""A text of nothing but white space is refused. By the tasks: only they know what their model's normaliser leaves."""

Text = Annotated[str, Field(min_length=1, json_schema_extra={"pattern": VISIBLE_PATTERN})]

WindowStride = Annotated[
    int | None,
    Field(
        ge=0,
        le=1_000_000,
        description="Tokens that neighbouring windows of a document longer than the model share. Default: 512, or half "
        "a window where that is less.",
    ),
]


@dataclass(frozen=True, slots=True)
class Listed:
    """Marks a text in whose place a body may hold a list: then there is an item for each of its texts."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Marks a field that an answer has only if it is not None: not every model of the task has it."""


@dataclass(frozen=True, slots=True)
class Operation:
    """How a task is called.

    Attributes:
        name: A verb, which becomes the operation's id in the OpenAPI description.
        summary: One line.
        description: What it does.
        request: Of one item.
        answer: For one item.
        one_text_only: Fields that cannot be true where a list is asked about.
        located_in: The text of the request in which the answer's positions stand, if it has any; the request then has
            the field `offsets` (`bigbird_inference.tasks.offset_units`).
        schema: What the JSON Schema of the request says beyond its fields.
        smaller_answer: What a client can do for a smaller answer, beside sending fewer or shorter texts.
    """

    name: str
    summary: str
    description: str
    request: type[Any]
    answer: type[Any]
    one_text_only: frozenset[str] = frozenset()
    located_in: str | None = None
    schema: Mapping[str, Any] | None = None
    smaller_answer: str | None = None

    @property
    def texts(self) -> frozenset[str]:
        """The fields in whose place a body may hold a list of texts."""
        hints = get_type_hints(self.request, include_extras=True)
        return frozenset(name for name, hint in hints.items() if Listed() in get_args(hint))

    @property
    def options(self) -> frozenset[str]:
        """All other fields."""
        return frozenset(get_type_hints(self.request)) - self.texts
