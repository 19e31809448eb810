"""The Open Inference Protocol, version 2 (KServe, Triton): `/v2` and what is under it.

Texts come in as tensors of the type BYTES, answers go out as typed tensors with a row for each text, and as one JSON
string for each (`service.dialects.inference_tensors`), both in JSON or in the binary extension. What a request says
is read in `service.dialects.inference_messages`.
"""

import json
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.requests import ClientDisconnect

from bigbird_inference.errors import InvalidInput, ModelNotFound
from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.version import service_version
from service.answer_limits import AnswerBytes
from service.api.answering import Answered, Asked, answer
from service.api.authentication import RequireKey
from service.api.disconnect import ClientGone
from service.api.json_body import most_values, require_json, require_plain
from service.api.problems import TASK_PROBLEMS, documented_problems
from service.api.request_state import V2_LIVE, V2_READY, ServingDependency
from service.dialects.inference_messages import HEADER_LENGTH, InferenceBody, read_message, terms_of
from service.dialects.inference_tensors import BYTES, JSON_OUTPUT, bytes_of, output_tensor
from service.request_run import ItemResult
from service.serving import Serving

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
    terms = terms_of(model.manifest.task)
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


# Inference.


_DESCRIBED: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{InferenceBody.__name__}"}}},
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
            _require_message(request)
            try:
                await request.body()
            except ClientDisconnect:
                raise ClientGone from None
            return await handle(request)

        return handle_message


def _require_message(request: Request) -> None:
    """Refuse bodies that say they are neither JSON nor binary.

    One that says nothing comes from such a client, unless it has an `Origin`: pages of other origins may send what
    has no type without being asked whether they may.
    """
    given = request.headers.getlist("content-type")
    if not (given == [] and "origin" not in request.headers) and given != ["application/octet-stream"]:
        require_json(request)


inference = APIRouter(route_class=_MessageRoute, tags=["dialects"], dependencies=[RequireKey], responses=TASK_PROBLEMS)


@inference.post(
    "/v2/models/{name}/infer",
    name="infer",
    summary="Ask a model with tensors",
    openapi_extra=_DESCRIBED,
    response_model=InferenceAnswer,
)
async def infer(name: ModelName, request: Request, serving: ServingDependency) -> Response:
    """Answer each text with a row of every tensor; bodies and answers may have a binary part."""
    return await _infer(request, serving, name, None)


@inference.post(
    "/v2/models/{name}/versions/{version}/infer",
    name="infer_with_version",
    summary="Ask a version of a model with tensors",
    openapi_extra=_DESCRIBED,
    response_model=InferenceAnswer,
)
async def infer_with_version(
    name: ModelName, version: Version, request: Request, serving: ServingDependency
) -> Response:
    """Answer each text with a row of every tensor; bodies and answers may have a binary part."""
    return await _infer(request, serving, name, version)


@dataclass(frozen=True, slots=True)
class _Row:
    """What is kept of a text's answer.

    Attributes:
        answer: The task's.
        written: The same as JSON, or nothing if that is not asked for.
        size: Bytes in the tensors that are asked for, about.
    """

    answer: Any
    written: bytes
    size: int

    def __len__(self) -> int:
        return self.size


async def _infer(request: Request, serving: Serving, name: str, version: str | None) -> Response:
    model = _model(serving, name, version)
    task = model.manifest.task
    terms = terms_of(task)
    length = request.headers.get(HEADER_LENGTH)
    message, binary = read_message(await request.body(), length, most_values(serving.settings))
    if message.model_name not in (None, name):
        raise InvalidInput(f"model_name: {str(message.model_name)[:100]!r} is not the model of the path, {name!r}")
    body = message.task_body(binary, terms)
    items, _ = terms.bodies.items(body, serving.settings)
    wanted = message.wanted(terms)
    tensors = [terms.columns[name] for name in wanted if name != JSON_OUTPUT]

    def write(own: LoadedModel, result: ItemResult) -> _Row:
        written = terms.bodies.write(own.name, result) if JSON_OUTPUT in wanted else b""
        size = sum(bytes_of(column, result.answer) for column in tensors)
        return _Row(result.answer, written, size + 2 * len(written))

    headers: dict[str, str] = {}

    # What the rows have by themselves is counted already.
    most = serving.settings.max_answer_bytes
    filling = AnswerBytes(most, f"ask for the output `{JSON_OUTPUT}` alone", request.state.hold_answer)

    def respond(answered: Answered[_Row]) -> Iterator[bytes]:
        answers = [row.answer for row in answered.items]
        written = [row.written for row in answered.items]
        filling.written = sum(map(len, answered.items))
        described, parts = [], []
        for output, is_binary in wanted.items():
            column = terms.columns[output]
            tensor = output_tensor(column, answers, written, filling.add)
            entry: dict[str, Any] = {"name": output, "datatype": column.datatype, "shape": tensor.shape}
            if is_binary:
                parts.append(tensor.as_bytes())
                entry["parameters"] = {"binary_data_size": len(parts[-1])}
            else:
                entry["data"] = tensor.values
            described.append(entry)
        about = {"model_name": answered.model.name, "model_version": str(answered.model.version)}
        # Texts are Unicode by now; an id comes back as it is, escaped, since it may be what UTF-8 cannot hold.
        known_as = b"" if message.id is None else b'"id":' + json.dumps(message.id).encode() + b","
        head = b"{" + known_as + to_json({**about, "outputs": described}, inf_nan_mode="null")[1:]
        if parts:
            headers[HEADER_LENGTH] = str(len(head))
            headers["Content-Type"] = "application/octet-stream"
        yield head
        yield from parts

    asked = Asked(
        dialect="open_inference",
        served_by=task,
        model=name,
        items=items,
        listed=True,
        write=write,
        respond=respond,
        timeout_ms=body.timeout_ms,
        headers=headers,
        takes_long=True,
    )
    return await answer(request, serving, asked)
