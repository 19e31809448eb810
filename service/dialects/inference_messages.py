"""What a request of the Open Inference Protocol says: its texts, the options of the task, and the tensors it wants.

The texts are the inputs, in JSON or behind it in the binary extension; the options are the `parameters`. Together they
are checked as the task's own body.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from bigbird_inference.errors import InvalidInput, MalformedRequest
from bigbird_inference.manifest import TaskName
from bigbird_inference.tasks.registry import TASKS
from service.api.json_body import parse_json
from service.api.problems import field_name
from service.api.task_bodies import RequestBody, TaskBodies
from service.dialects.bodies import DialectBody
from service.dialects.inference_tensors import Column, columns, texts_of, texts_of_bytes

HEADER_LENGTH = "Inference-Header-Content-Length"

BodyT = TypeVar("BodyT", bound=BaseModel)

_EXAMPLE = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["Maria Okafor signed for Halden Works."]}
_BINARY_ANSWERS = "binary_data_output"
_MOST_FAULTS = 20
_MOST_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Terms:
    """A task in the terms of the protocol.

    Attributes:
        bodies: Its own.
        texts: The fields of its request that are inputs.
        columns: Its answer's tensors, by name.
    """

    bodies: TaskBodies
    texts: tuple[str, ...]
    columns: Mapping[str, Column]


@cache
def terms_of(task: TaskName) -> Terms:
    """Return a task's terms."""
    operation = TASKS[task].operation
    bodies = TaskBodies(operation)
    texts = tuple(name for name in bodies.request.model_fields if name in operation.texts)
    return Terms(bodies, texts, {column.name: column for column in columns(operation.answer)})


class InputParameters(DialectBody):
    """How an input comes."""

    binary_data_size: Annotated[int | None, Field(ge=0, description="Its bytes in the binary part.")] = None


class InferenceInput(DialectBody):
    """Texts."""

    name: Annotated[str, Field(description="Which text of the task's request.")]
    shape: Annotated[list[Annotated[int, Field(ge=0)]], Field(description="`[texts]`, or `[texts, 1]`.")]
    datatype: Literal["BYTES"]
    parameters: InputParameters = InputParameters()
    data: Annotated[
        list[str | list[str]] | None, Field(description="The texts, where they are not in the binary part.")
    ] = None


class OutputParameters(DialectBody):
    """How an output is sent."""

    binary_data: Annotated[bool | None, Field(description="Whether in the binary part.")] = None


class InferenceOutput(DialectBody):
    """A tensor that is asked for."""

    name: str
    parameters: OutputParameters = OutputParameters()


class InferenceBody(DialectBody):
    """Texts for a model, as tensors."""

    id: Annotated[str | None, Field(description="Comes back.")] = None
    model_name: Annotated[str | None, Field(description="The same as in the path.")] = None
    parameters: Annotated[
        dict[str, Any],
        Field(description=f"Options of the task by their names, and `{_BINARY_ANSWERS}`.", default_factory=dict),
    ]
    inputs: Annotated[list[InferenceInput], Field(min_length=1, examples=[[_EXAMPLE]])]
    outputs: Annotated[list[InferenceOutput] | None, Field(description="Default: every tensor.")] = None

    def task_body(self, binary: bytes, terms: Terms) -> RequestBody:
        """Return what is asked as the body of the task.

        Args:
            binary: The binary part.
            terms: The task's.

        Raises:
            InvalidInput: It is not one of the task; the message names the fields.
            MalformedRequest: The binary part is not what the inputs say.
        """
        texts: dict[str, Any] = dict(self._texts(binary, terms))
        # As in the task's own body: one text goes with each of the others' texts.
        texts = {name: given[0] if len(given) == 1 else given for name, given in texts.items()}
        options = {name: value for name, value in self.parameters.items() if name != _BINARY_ANSWERS}
        doubled = sorted({"model", *terms.texts} & options.keys())
        if doubled:
            raise InvalidInput(f"parameters: {', '.join(doubled)} cannot be given here")
        return _checked(terms.bodies.request, {**texts, **options})

    def _texts(self, binary: bytes, terms: Terms) -> Iterator[tuple[str, list[str]]]:
        """Yield the texts of each input, by its name."""
        place = 0
        seen: set[str] = set()
        for own in self.inputs:
            if own.name not in terms.texts or own.name in seen:
                raise InvalidInput(f"inputs: {own.name[:100]!r} is none, or twice; there are {', '.join(terms.texts)}")
            seen.add(own.name)
            size = own.parameters.binary_data_size
            if (size is None) == (own.data is None):
                raise InvalidInput(f"inputs: {own.name} must have either data or binary_data_size")
            if own.data is not None:
                yield own.name, texts_of(own.name, own.shape, own.data)
                continue
            end = place + (size or 0)
            if end > len(binary):
                raise MalformedRequest(f"The binary part ends before that of {own.name}.")
            yield own.name, texts_of_bytes(own.name, own.shape, binary[place:end])
            place = end
        if place != len(binary):
            raise MalformedRequest("The binary part is longer than the inputs say.")

    def wanted(self, terms: Terms) -> dict[str, bool]:
        """Return the names of the tensors that are asked for, and whether in the binary part.

        Raises:
            InvalidInput: There is no such tensor.
        """
        every = self.parameters.get(_BINARY_ANSWERS, False)
        if not isinstance(every, bool):
            raise InvalidInput(f"parameters: {_BINARY_ANSWERS} must be true or false")
        if not self.outputs:
            return dict.fromkeys(terms.columns, every)
        for output in self.outputs:
            if output.name not in terms.columns:
                raise InvalidInput(f"outputs: {output.name[:100]!r} is none; there are {', '.join(terms.columns)}")
        asked = {output.name: output.parameters.binary_data for output in self.outputs}
        return {name: every if binary is None else binary for name, binary in asked.items()}


def read_message(body: bytes, header_length: str | None, most_values: int) -> tuple[InferenceBody, bytes]:
    """Return what a body says, and its binary part.

    Args:
        body: JSON, and what follows it.
        header_length: The header that tells how long the JSON is, if there is one.
        most_values: Most values in the JSON.

    Raises:
        MalformedRequest: It is not JSON, or not so long.
        InvalidInput: A field is missing or wrong.
    """
    length = len(body)
    if header_length is not None:
        plain = header_length.isascii() and header_length.isdigit() and len(header_length) <= _MOST_DIGITS
        if not plain or int(header_length) > len(body):
            raise MalformedRequest(f"{HEADER_LENGTH} must be the number of bytes of the JSON, at most {len(body)}.")
        length = int(header_length)
    if not length:
        raise MalformedRequest("The body is empty.")
    return _checked(InferenceBody, parse_json(body[:length], most_values)), body[length:]


def _checked(kind: type[BodyT], values: Any) -> BodyT:
    """Return values as a body.

    Raises:
        InvalidInput: They are none; the message names the fields. No schema can say it: options depend on the model.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        faults = {field_name(("body", *entry["loc"])): entry["msg"] for entry in error.errors()[:_MOST_FAULTS]}
        raise InvalidInput("; ".join(f"{field}: {fault}" for field, fault in faults.items())) from None
