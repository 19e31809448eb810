"""OpenAI's embeddings: `POST /v1/embeddings`, which is `/embed` in other words."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import Field, TypeAdapter

from bigbird_inference.errors import InvalidInput
from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.tasks.embedding import EmbeddingRequest
from service.api.answering import Answered, Asked, answer, json_list
from service.api.authentication import RequireKey
from service.api.json_body import JsonRoute
from service.api.problems import documented_problems
from service.api.request_state import ServingDependency
from service.api.task_bodies import OneOrMany, check_size
from service.dialects.huggingface import DialectBody
from service.request_run import ItemResult

DIALECT = "openai"

router = APIRouter(
    route_class=JsonRoute,
    tags=["dialects"],
    dependencies=[RequireKey],
    responses=documented_problems(400, 404, 405, 408, 413, 415, 422, 429, 500, 503, 504),
)


class OpenAIEmbeddingBody(DialectBody):
    """A text to embed, or a list of texts, in the form of OpenAI."""

    input: Annotated[
        OneOrMany,
        Field(
            description="A text, or a list of texts; lists of tokens are refused, since they would be another "
            "tokenizer's.",
            examples=["The survey of the northern bridges was led by Maria Okafor."],
        ),
    ]
    model: Annotated[
        str, Field(min_length=1, max_length=255, description="Name of a model, from `/v1/models`.", examples=["embed"])
    ]
    encoding_format: Annotated[
        Literal["float", "base64"],
        Field(description="Numbers, or little-endian float32 in base64, which is what the openai package asks for."),
    ] = "float"
    dimensions: Annotated[
        int | None,
        Field(ge=1, le=1_000_000, description="Must be the model's own number; vectors are never shortened."),
    ] = None
    user: Annotated[str | None, Field(max_length=1000, description="Has no effect, and is not kept.")] = None


@dataclass(frozen=True, slots=True)
class OpenAIEmbedding:
    """A text as a vector of length 1."""

    object: str
    index: int
    embedding: list[float] | str


@dataclass(frozen=True, slots=True)
class OpenAIUsage:
    """Tokens that the model read."""

    prompt_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class OpenAIEmbeddings:
    """An embedding for each text, in the same order."""

    object: str
    data: list[OpenAIEmbedding]
    model: str
    usage: OpenAIUsage


_VECTOR = TypeAdapter(list[float])


@router.post(
    "/v1/embeddings",
    name="create_embeddings",
    summary="Turn documents into vectors, as OpenAI does",
    response_model=OpenAIEmbeddings,
)
async def create_embeddings(request: Request, body: OpenAIEmbeddingBody, serving: ServingDependency) -> Response:
    """Return the normalised mean of the hidden states for each text; longer ones are read in windows."""
    check_size("input", body.input, serving.settings)
    texts = body.input if isinstance(body.input, list) else [body.input]

    def write(model: LoadedModel, result: ItemResult) -> bytes:
        numbers = result.answer.embedding
        if body.encoding_format == "float":
            return _VECTOR.dump_json(numbers)
        return b'"' + base64.b64encode(np.asarray(numbers, "<f4").tobytes()) + b'"'

    def respond(answered: Answered[bytes]) -> Iterator[bytes]:
        tokens = sum(item.tokens for item in answered.record.items)
        yield b'{"object":"list","data":'
        yield from json_list(
            b'{"object":"embedding","index":%d,"embedding":%b}' % (index, vector)
            for index, vector in enumerate(answered.items)
        )
        rest: dict[str, Any] = {"model": answered.model.name}
        rest["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
        yield b"," + json.dumps(rest)[1:].encode()

    requests = [EmbeddingRequest(text) for text in texts]
    if body.dimensions is not None:
        width = serving.models.choose("embed", body.model).manifest.model["hidden_size"]
        if body.dimensions != width:
            raise InvalidInput(
                f"dimensions is {body.dimensions}, but this model's vectors have {width} and are not cut"
            )
    asked = Asked(DIALECT, "embed", body.model, requests, isinstance(body.input, list), write, respond)
    return await answer(request, serving, asked)
