"""The Open Inference Protocol, version 2 (KServe, Triton): `/v2` and what is under it.

Texts come in as tensors of the type BYTES, answers go out as typed tensors with a row for each text, and as one JSON
string for each (`service.dialects.inference_tensors`), both in JSON or in the binary extension. The request's
`parameters` are the options of the task; it is checked as the task's own body.
"""

import json
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect

from bigbird_inference.errors import InvalidInput, MalformedRequest, ModelNotFound
from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.manifest import TaskName
from bigbird_inference.tasks.registry import TASKS
from bigbird_inference.version import service_version
from service.api.answering import Answered, Asked, answer
from service.api.authentication import RequireKey
from service.api.disconnect import ClientGone
from service.api.json_body import most_values, parse_json, require_plain
from service.api.problems import documented_problems, field_name
from service.api.request_state import V2_LIVE, V2_READY, ServingDependency
from service.api.task_bodies import TaskBodies
from service.dialects.inference_tensors import BYTES, Column, columns, output_tensor, texts_of, texts_of_bytes
from service.request_run import ItemResult
from service.serving import Serving

DIALECT = "open_inference"
BodyT = TypeVar("BodyT", bound=BaseModel)

_MOST_FAULTS = 20
HEADER_LENGTH = "Inference-Header-Content-Length"

_PROBLEMS = documented_problems(400, 404, 405, 408, 413, 415, 422, 429, 500, 503, 504)
health = APIRouter(tags=["dialects"])
router = APIRouter(tags=["dialects"], dependencies=[RequireKey], responses=documented_problems(404, 422))

ModelName = Annotated[str, Path(min_length=1, max_length=255, description="From `/v1/models`.")]
Version = Annotated[str, Path(pattern="^[0-9]{1,9}$", description="Which version must answer, as `/v1/models` says.")]


class ServerMetadata(BaseModel):
    """The server."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """A tensor; -1 in its shape is any number."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """A model's tensors."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class StateBody(BaseModel):
    """Whether it is so; otherwise the answer is an error."""

    ready: bool


class LiveBody(BaseModel):
    """Whether it is so; otherwise the answer is an error."""

    live: bool


@health.get(V2_LIVE, name="is_server_live", summary="Is a restart needed?", responses=documented_problems(503))
async def is_live(serving: ServingDependency) -> LiveBody:
    """Answer as `/health/live`."""
    if serving.fault is not None:
        raise serving.fault
    return LiveBody(live=True)


@health.get(V2_READY, name="is_server_ready", summary="Are requests accepted?", responses=documented_problems(503))
async def is_ready(serving: ServingDependency) -> StateBody:
    """Answer as `/health/ready`."""
    serving.ensure_ready()
    return StateBody(ready=True)


@router.get("/v2", name="get_server_metadata", summary="The server")
async def server_metadata() -> ServerMetadata:
    """Tell name, version and extensions."""
    return ServerMetadata(name="bigbird-serve", version=service_version(), extensions=["binary_tensor_data"])


@router.get("/v2/models/{name}", name="get_model_metadata", summary="A model's tensors")
async def model_metadata(name: ModelName, serving: ServingDependency) -> ModelMetadata:
    """Tell what goes in and what comes out."""
    return _metadata(_model(serving, name, None))


@router.get("/v2/models/{name}/versions/{version}", name="get_version_metadata", summary="A version's tensors")
async def version_metadata(name: ModelName, version: Version, serving: ServingDependency) -> ModelMetadata:
    """Tell what goes in and what comes out."""
    return _metadata(_model(serving, name, version))


@router.get(
    "/v2/models/{name}/ready",
    name="is_model_ready",
    summary="Does a model answer?",
    responses=documented_problems(503),
)
async def is_model_ready(name: ModelName, serving: ServingDependency) -> StateBody:
    """Answer 200 if it does."""
    return _state(serving, name, None)


@router.get(
    "/v2/models/{name}/versions/{version}/ready",
    name="is_version_ready",
    summary="Does a version answer?",
    responses=documented_problems(503),
)
async def is_version_ready(name: ModelName, version: Version, serving: ServingDependency) -> StateBody:
    """Answer 200 if it does."""
    return _state(serving, name, version)


def _state(serving: Serving, name: str, version: str | None) -> StateBody:
    _model(serving, name, version)
    serving.ensure_running()
    serving.ensure_undamaged(name)
    return StateBody(ready=True)


def _model(serving: Serving, name: str, version: str | None) -> LoadedModel:
    model = serving.models.choose_any(name)
    if version is not None and int(version) != model.version:
        raise ModelNotFound(f"The model {name!r} is served in version {model.version}, not {version}.")
    return model


def _metadata(model: LoadedModel) -> ModelMetadata:
    terms = _terms(model.manifest.task)
    return ModelMetadata(
        name=model.name,
        versions=[str(model.version)],
        platform=f"bigbird_{model.runtime}",
        inputs=[TensorMetadata(name=name, datatype=BYTES, shape=[-1]) for name in terms.texts],
        outputs=[
            TensorMetadata(name=column.name, datatype=column.datatype, shape=[-1] * (1 + column.axes))
            for column in terms.columns.values()
        ],
    )


@dataclass(frozen=True, slots=True)
class _Terms:
    """A task in the terms of the protocol."""

    bodies: TaskBodies
    texts: tuple[str, ...]
    columns: Mapping[str, Column]


@cache
def _terms(task: TaskName) -> _Terms:
    operation = TASKS[task].operation
    bodies = TaskBodies(operation)
    texts = tuple(name for name in bodies.request.model_fields if name in operation.texts)
    return _Terms(bodies, texts, {column.name: column for column in columns(operation.answer)})


# Inference.


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Input(_Message):
    name: str
    shape: list[Annotated[int, Field(ge=0)]]
    datatype: str
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class _Output(_Message):
    name: str
    parameters: dict[str, Any] = {}


class _Inference(_Message):
    id: str | None = None
    parameters: dict[str, Any] = {}
    inputs: list[_Input] = Field(min_length=1)
    outputs: list[_Output] | None = None


_REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "title": "Inference",
                    "type": "object",
                    "required": ["inputs"],
                    "additionalProperties": False,
                    "properties": {
                        "id": {"type": "string"},
                        "parameters": {"type": "object", "description": "Options of the task, by their names."},
                        "inputs": {
                            "type": "array",
                            "minItems": 1,
                            "items": {
                                "type": "object",
                                "required": ["name", "shape", "datatype", "data"],
                                "properties": {
                                    "name": {"type": "string", "description": "A text of the task's request."},
                                    "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
                                    "datatype": {"const": BYTES},
                                    "data": {"type": "array", "items": {"type": "string"}},
                                },
                                "additionalProperties": False,
                            },
                        },
                        "outputs": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": ["name"],
                                "properties": {"name": {"type": "string"}, "parameters": {"type": "object"}},
                                "additionalProperties": False,
                            },
                        },
                    },
                }
            }
        },
    }
}


class InferredTensor(BaseModel):
    """A tensor; its data are in the binary part where `parameters` has `binary_data_size`."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] | None = None
    data: list[Any] | None = None


class InferenceAnswer(BaseModel):
    """The tensors that were asked for, or all."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[InferredTensor]


class _MessageRoute(APIRoute):
    """Reads a body that may have a binary part, and whose content type clients leave out."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_message(request: Request) -> Response:
            require_plain(request)
            try:
                await request.body()
            except ClientDisconnect:
                raise ClientGone from None
            return await handle(request)

        return handle_message


inference = APIRouter(route_class=_MessageRoute, tags=["dialects"], dependencies=[RequireKey], responses=_PROBLEMS)


@inference.post(
    "/v2/models/{name}/infer",
    name="infer",
    summary="Ask a model with tensors",
    openapi_extra=_REQUEST,
    response_model=InferenceAnswer,
)
async def infer(name: ModelName, request: Request, serving: ServingDependency) -> Response:
    """Answer each text with a row of every tensor; bodies and answers may have a binary part."""
    return await _infer(request, serving, name, None)


@inference.post(
    "/v2/models/{name}/versions/{version}/infer",
    name="infer_with_version",
    summary="Ask a version of a model with tensors",
    openapi_extra=_REQUEST,
    response_model=InferenceAnswer,
)
async def infer_with_version(
    name: ModelName, version: Version, request: Request, serving: ServingDependency
) -> Response:
    """Answer each text with a row of every tensor; bodies and answers may have a binary part."""
    return await _infer(request, serving, name, version)


@dataclass(frozen=True, slots=True)
class _Row:
    """What is kept of a text's answer."""

    answer: Any
    written: bytes

    def __len__(self) -> int:
        return 2 * len(self.written)


async def _infer(request: Request, serving: Serving, name: str, version: str | None) -> Response:
    model = _model(serving, name, version)
    task = model.manifest.task
    terms = _terms(task)
    message, binary = _read(request, await request.body(), most_values(serving.settings))
    texts: dict[str, Any] = dict(_inputs(message, binary, terms))
    if any(len(given) > 1 for given in texts.values()):
        # As in the task's own body: one text goes with each of the others' texts.
        texts = {key: given[0] if len(given) == 1 else given for key, given in texts.items()}
    options = {key: value for key, value in message.parameters.items() if key != "binary_data_output"}
    doubled = sorted({"model", *terms.texts} & options.keys())
    if doubled:
        raise InvalidInput(f"parameters: {', '.join(doubled)} cannot be given here")
    body = _checked(terms.bodies.request, {**texts, **options})
    items, _ = terms.bodies.items(body, serving.settings)
    wanted = _wanted(message, terms)

    def write(own: LoadedModel, result: ItemResult) -> _Row:
        return _Row(result.answer, terms.bodies.write(own.name, result))

    binary_names = {name for name, is_binary in wanted.items() if is_binary}
    headers: dict[str, str] = {}

    def respond(answered: Answered[_Row]) -> Iterator[bytes]:
        answers = [row.answer for row in answered.items]
        written = [row.written for row in answered.items]
        described, parts = [], []
        for column in (terms.columns[name] for name in wanted):
            tensor = output_tensor(column, answers, written)
            entry: dict[str, Any] = {"name": column.name, "datatype": column.datatype, "shape": tensor.shape}
            if column.name in binary_names:
                parts.append(tensor.as_bytes())
                entry["parameters"] = {"binary_data_size": len(parts[-1])}
            else:
                entry["data"] = tensor.values
            described.append(entry)
        about = {"model_name": answered.model.name, "model_version": str(answered.model.version)}
        about |= {} if message.id is None else {"id": message.id}
        head = json.dumps({**about, "outputs": described}, ensure_ascii=False).encode()
        if parts:
            headers[HEADER_LENGTH] = str(len(head))
            headers["Content-Type"] = "application/octet-stream"
        yield head
        yield from parts

    asked = Asked(DIALECT, task, name, items, True, write, respond, body.timeout_ms, headers=headers)
    return await answer(request, serving, asked)


def _read(request: Request, body: bytes, most: int) -> tuple[_Inference, bytes]:
    """Return what a body says, and its binary part.

    Raises:
        MalformedRequest: It is no JSON, or its header has no such length.
        InvalidInput: A field is missing or wrong.
    """
    given = request.headers.get(HEADER_LENGTH)
    if given is not None and not (given.isascii() and given.isdigit() and int(given[:18]) <= len(body)):
        raise MalformedRequest(f"{HEADER_LENGTH} must be the number of bytes of the JSON, at most {len(body)}.")
    length = len(body) if given is None else int(given)
    if not length:
        raise MalformedRequest("The body is empty.")
    return _checked(_Inference, parse_json(body[:length], most)), body[length:]


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


def _inputs(message: _Inference, binary: bytes, terms: _Terms) -> Iterator[tuple[str, list[str]]]:
    """Yield the texts of each input, by its name."""
    place = 0
    seen: set[str] = set()
    for tensor in message.inputs:
        if tensor.name not in terms.texts or tensor.name in seen:
            raise InvalidInput(f"inputs: {tensor.name[:100]!r} is none, or twice; there are {', '.join(terms.texts)}")
        seen.add(tensor.name)
        if tensor.datatype != BYTES:
            raise InvalidInput(f"inputs: {tensor.name} must be of the datatype BYTES")
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            if tensor.data is None:
                raise InvalidInput(f"inputs: {tensor.name} has no data")
            yield tensor.name, texts_of(tensor.name, tensor.shape, tensor.data)
            continue
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(binary) - place:
            raise InvalidInput(f"inputs: binary_data_size of {tensor.name} is not within the binary part")
        yield tensor.name, texts_of_bytes(tensor.name, tensor.shape, binary[place : place + size])
        place += size
    if place != len(binary):
        raise MalformedRequest("The binary part is longer than the inputs say.")


def _wanted(message: _Inference, terms: _Terms) -> dict[str, bool]:
    """Return the outputs that are asked for, and whether in binary."""
    every = message.parameters.get("binary_data_output", False) is True
    if not message.outputs:
        return dict.fromkeys(terms.columns, every)
    for output in message.outputs:
        if output.name not in terms.columns:
            raise InvalidInput(f"outputs: {output.name[:100]!r} is none; there are {', '.join(terms.columns)}")
    return {output.name: output.parameters.get("binary_data", every) is True for output in message.outputs}
