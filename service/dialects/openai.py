"""OpenAI's embeddings: `POST /v1/embeddings`, which is `/embed` in other words."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from fastapi import Request, Response
from pydantic import Field

from bigbird_inference.errors import InvalidInput
from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.tasks.embedding import EmbeddingRequest
from service.api.answering import Answered, Asked, answer, json_list
from service.api.request_state import OPENAI_EMBEDDINGS, ServingDependency
from service.api.task_bodies import OneOrMany, as_list, check_size
from service.dialects.bodies import DialectBody, dialect_router
from service.dialects.vectors import write_vector
from service.request_run import ItemResult

router = dialect_router()


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


@router.post(
    OPENAI_EMBEDDINGS,
    name="create_embeddings",
    summary="Turn documents into vectors, as OpenAI does",
    response_model=OpenAIEmbeddings,
)
async def create_embeddings(request: Request, body: OpenAIEmbeddingBody, serving: ServingDependency) -> Response:
    """Return the normalised mean of the hidden states for each text; longer ones are read in windows."""
    check_size("input", body.input, serving.settings)
    texts, listed = as_list(body.input)

    def write(model: LoadedModel, result: ItemResult) -> bytes:
        if body.encoding_format == "float":
            return write_vector(model, result)
        return b'"' + base64.b64encode(np.asarray(result.answer.embedding, "<f4").tobytes()) + b'"'

    def respond(answered: Answered[bytes]) -> Iterator[bytes]:
        tokens = sum(item.tokens for item in answered.record.items)
        yield b'{"object":"list","data":'
        yield from json_list(
            b'{"object":"embedding","index":%d,"embedding":%b}' % (index, vector)
            for index, vector in enumerate(answered.items)
        )
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        yield b"," + json.dumps({"model": answered.model.name, "usage": usage})[1:].encode()

    requests = [EmbeddingRequest(text) for text in texts]
    if body.dimensions is not None:
        width = serving.models.choose("embed", body.model).manifest.model["hidden_size"]
        if body.dimensions != width:
            raise InvalidInput(
                f"dimensions is {body.dimensions}, but this model's vectors have {width} and are not cut"
            )
    asked = Asked(
        dialect="openai",
        served_by="embed",
        model=body.model,
        items=requests,
        listed=listed,
        write=write,
        respond=respond,
    )
    return await answer(request, serving, asked)
