"""The bodies of the task routes, made of what each task declares (`bigbird_inference.tasks.declaration`).

A request's body has the declared fields, in which texts may be lists, and beside them those of every request: strict
JSON types, no unknown fields. An answer's body has the declared fields, the model and what the answer cost.
"""

import dataclasses
from collections.abc import Iterator
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter, create_model

from bigbird_inference.errors import InvalidInput, TextTooLarge
from bigbird_inference.tasks.declaration import LeftOut, Operation, Text
from service.request_run import ItemResult, Usage
from service.settings import Settings

# Names of a union's branches; `service.api.problems` leaves them out of the names of fields.
ONE, MANY, PAIR = "<one>", "<many>", "<pair>"
NATIVE_FORM, DIALECT_FORM, SIMILARITY_FORM = "<native>", "<dialect>", "<similarity>"
BRANCHES = frozenset({ONE, MANY, PAIR, NATIVE_FORM, DIALECT_FORM, SIMILARITY_FORM})

# An item can be a megabyte: an answer of `/qa`.
_WRITTEN_AT_ONCE = 16


def _branch(value: Any) -> str:
    return MANY if isinstance(value, list) else ONE


ItemT = TypeVar("ItemT")
OneOrMore = Annotated[
    Annotated[ItemT, Tag(ONE)] | Annotated[list[ItemT], Field(min_length=1), Tag(MANY)], Discriminator(_branch)
]
"""A value, or a list of at least one of them; what is wrong is told of the one that is meant."""
OneOrMany = OneOrMore[Text]


class RequestBody(BaseModel):
    """What every task's request may hold."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    model: str | None = Field(
        None,
        min_length=1,
        max_length=255,
        description="Name of a loaded model, from `/v1/models`. Not needed where one model serves the task.",
    )
    timeout_ms: int | None = Field(
        None, ge=1, le=3_600_000, description="Time for the answer in milliseconds; then 504. Default: the server's."
    )


class TaskBodies:
    """A task's bodies.

    Args:
        operation: What the task declares.

    Attributes:
        request: The body of a request.
        answer: The body of the answer for one item.
        results: The body of the answer for a list.
    """

    def __init__(self, operation: Operation) -> None:
        self._operation = operation
        declared = get_type_hints(operation.request, include_extras=True)
        self._listed = operation.texts
        fields = {field.name: field for field in dataclasses.fields(operation.request)}
        own: dict[str, Any] = {
            name: (_listed_text(hint) if name in self._listed else hint, _default(fields[name]))
            for name, hint in declared.items()
        }
        self.request: type[RequestBody] = create_model(
            operation.request.__name__.replace("Request", "Body"),
            __base__=RequestBody,
            __doc__=operation.request.__doc__,
            **own,
        )
        # What `/docs` fills in to be tried: no more than a request needs.
        needed = [name for name in declared if fields[name].default is dataclasses.MISSING]
        example = {name: (self.request.model_fields[name].examples or [None])[0] for name in needed}
        self.request.model_config["json_schema_extra"] = {**(operation.schema or {}), "examples": [example]}
        self.request.model_rebuild(force=True)
        answered: dict[str, Any] = {
            **get_type_hints(operation.answer, include_extras=True),
            "model": Annotated[str, Field(description="The model that answered.")],
            "usage": Usage,
        }
        self._left_out = {name for name, hint in answered.items() if LeftOut() in get_args(hint)}
        described: dict[str, Any] = {
            name: _left_out(hint) if name in self._left_out else hint for name, hint in answered.items()
        }
        self.answer: type[BaseModel] = create_model(
            f"{operation.answer.__name__}Body", __doc__=operation.answer.__doc__, **described
        )
        self.results: type[BaseModel] = create_model(
            f"{operation.answer.__name__}Results",
            __doc__="One answer for each item of a list, in the same order.",
            results=list[self.answer],  # type: ignore[name-defined]
        )
        self._written = {name: TypeAdapter(hint) for name, hint in answered.items()}

    def items(self, body: RequestBody, settings: Settings) -> tuple[list[Any], bool]:
        """Return the requests that a body holds, and whether it holds a list and wants one back.

        Two lists pair up item by item; one text beside a list goes with each of its items.

        Raises:
            TextTooLarge: A list or a text is over a configured limit; the message names the field.
            InvalidInput: Two lists have different lengths, or what is for one text was asked of a list.
        """
        values = {name: getattr(body, name) for name in type(body).model_fields if name not in RequestBody.model_fields}
        for name, value in values.items():
            if isinstance(value, list) or name in self._listed:
                check_size(name, value, settings)
        lists = {name: value for name, value in values.items() if name in self._listed and isinstance(value, list)}
        if not lists:
            return [self._operation.request(**values)], False
        for name in self._operation.one_text_only:
            if values[name]:
                raise InvalidInput(f"{name} are returned for one text, not for a list")
        (first, texts), *others = lists.items()
        for name, more in others:
            if len(more) != len(texts):
                raise InvalidInput(
                    f"{first} has {len(texts)} items and {name} {len(more)}; two lists must be equally long."
                )
        paired = [dict(zip(lists, item, strict=True)) for item in zip(*lists.values(), strict=True)]
        return [self._operation.request(**{**values, **own}) for own in paired], True

    def write(self, model: str, result: ItemResult) -> bytes:
        """Return an item's answer as JSON; nothing of it is checked again, it was made here.

        FastAPI would check it twice, which takes seconds for a hundred thousand entities.
        """
        own = {field.name: getattr(result.answer, field.name) for field in dataclasses.fields(result.answer)}
        parts: list[bytes] = []
        for name, value in {**own, "model": model, "usage": result.usage}.items():
            if value is None and name in self._left_out:
                continue
            parts += [b"," if parts else b"{", b'"', name.encode(), b'":', *json_parts(self._written[name], value)]
        return b"".join((*parts, b"}"))


def json_parts(adapter: TypeAdapter[Any], value: Any) -> Iterator[bytes]:
    """Yield a value's JSON, of a list some items at a time: nothing else runs while pydantic writes."""
    if not isinstance(value, list) or len(value) <= _WRITTEN_AT_ONCE:
        yield adapter.dump_json(value)
        return
    yield b"["
    for first in range(0, len(value), _WRITTEN_AT_ONCE):
        if first:
            yield b","
        yield adapter.dump_json(value[first : first + _WRITTEN_AT_ONCE])[1:-1]
    yield b"]"


def _listed_text(hint: Any) -> Any:
    """Return the type of a text that may be a list, with the same description and examples."""
    kind = OneOrMany | None if type(None) in getattr(hint.__origin__, "__args__", ()) else OneOrMany
    # What holds for a single text is said in `OneOrMany`.
    own = [mark for mark in hint.__metadata__ if mark not in get_args(Text)]
    return Annotated[kind, *own]


def _left_out(hint: Any) -> tuple[Any, Any]:
    """Return the type of a field that is not in every answer, never null where it is, and that it may be missing."""
    (kind,) = (part for part in get_args(hint.__origin__) if part is not type(None))
    return Annotated[kind, *hint.__metadata__], Field(default_factory=lambda: None)


def _default(field: dataclasses.Field[Any]) -> Any:
    return ... if field.default is dataclasses.MISSING else field.default


def as_list(value: Any) -> tuple[list[Any], bool]:
    """Return a value as a list, and whether it is one."""
    return (value, True) if isinstance(value, list) else ([value], False)


def check_size(name: str, value: str | list[str] | None, settings: Settings) -> None:
    """Do nothing if a field's text, or list of texts, is within the configured limits.

    Raises:
        TextTooLarge: It is not; the message names the field.
    """
    texts = value if isinstance(value, list) else [] if value is None else [value]
    check_count(name, len(texts), settings)
    for text in texts:
        if len(text) > settings.max_characters:
            raise TextTooLarge(
                f"{name} has a text of {len(text)} characters; at most {settings.max_characters} are accepted."
            )


def check_count(name: str, count: int, settings: Settings) -> None:
    """Do nothing if a field's list has no more items than are configured.

    Raises:
        TextTooLarge: It has; the message names the field.
    """
    if count > settings.max_list_items:
        raise TextTooLarge(f"{name} has {count} items; at most {settings.max_list_items} are accepted.")
