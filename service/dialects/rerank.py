"""Reranking: a query and documents, which come back in the order in which they answer it.

Two forms: `/rerank` as Text Embeddings Inference has it, and `/v1/rerank` as Cohere and Jina have it, of which Cohere's
newer clients ask at `/v2/rerank`. Both ask a
classification model (`bigbird_inference.tasks.reranking`).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Request, Response
from pydantic import Discriminator, Field, Tag

from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.tasks.base import Task
from bigbird_inference.tasks.declaration import Text
from bigbird_inference.tasks.reranking import RelevanceRequest, Reranking
from service.api.answering import Answered, Asked, answer, json_list
from service.api.request_state import ServingDependency
from service.api.task_bodies import ONE, PAIR, check_size
from service.dialects.bodies import AnyModel, DialectBody, Truncate, dialect_router
from service.request_run import ItemResult, Usage
from service.settings import Settings
from service.telemetry.request_record import Dialect

router = dialect_router()

Label = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=255,
        description="Which of the model's labels means that a document answers. Needed where it has several and none "
        "is the service's `BIGBIRD_RERANK_LABEL`.",
    ),
]
# About: an index and a score with their names.
_ENTRY_BYTES = 64
_QUERY = Field(
    description="What is looked for. It stands whole in every window, so it must be much shorter than one.",
    examples=["Was the claim admitted?"],
)
_DOCUMENTS = Field(
    min_length=1,
    description="Where it may be found; each may be longer than the model, and is then read in windows, of which the "
    "best speaks for it.",
    examples=[["The court admitted the claim.", "The bridge was surveyed in May."]],
)


class TextsToRankBody(DialectBody):
    """A query and texts, in the form of Text Embeddings Inference."""

    query: Annotated[Text, _QUERY]
    texts: Annotated[list[Text], _DOCUMENTS]
    raw_scores: Annotated[bool, Field(description="Whether scores are logits instead of probabilities.")] = False
    return_text: Annotated[bool, Field(description="Whether each text comes back with its score.")] = False
    truncate: Truncate = None
    label: Label = None
    model: AnyModel = None


@dataclass(frozen=True, slots=True)
class RankedText:
    """A text and how well it answers; `index` is its place in the request."""

    index: int
    score: float
    text: str | None = None


class DocumentBody(DialectBody):
    """A document as an object."""

    text: Text


def _document_kind(value: Any) -> str:
    return PAIR if isinstance(value, (dict, DocumentBody)) else ONE


class DocumentsToRankBody(DialectBody):
    """A query and documents, in the form of Cohere and Jina."""

    query: Annotated[Text, _QUERY]
    documents: Annotated[
        list[
            Annotated[
                Annotated[Text, Tag(ONE)] | Annotated[DocumentBody, Tag(PAIR)],
                Discriminator(_document_kind),
            ]
        ],
        _DOCUMENTS,
    ]
    model: AnyModel = None
    top_n: Annotated[int | None, Field(ge=1, le=1_000_000, description="Most results. Default: all.")] = None
    return_documents: Annotated[bool, Field(description="Whether each document comes back with its score.")] = False
    label: Label = None


@dataclass(frozen=True, slots=True)
class RankedDocumentText:
    """A document that comes back."""

    text: str


@dataclass(frozen=True, slots=True)
class RankedDocument:
    """A document's place in the request, and how well it answers."""

    index: int
    relevance_score: float
    document: RankedDocumentText | None = None


@dataclass(frozen=True, slots=True)
class RerankUsage:
    """What the answer cost, of all documents together."""

    total_tokens: int
    prompt_tokens: int
    windows: Annotated[int, Field(description="Windows that were run; one for each document that fits the model.")]
    truncated_tokens: Annotated[int, Field(description="Always 0: what is too long is windowed or refused.")]


@dataclass(frozen=True, slots=True)
class RankedDocuments:
    """The best documents, best first; of equally good ones the first in the request."""

    id: Annotated[str, Field(description="The request's id.")]
    object: str
    model: str
    results: list[RankedDocument]
    usage: RerankUsage


@dataclass(frozen=True, slots=True)
class _Scored:
    """What is kept of a document; its text, if it comes back, is no longer than the body that brought it."""

    score: float
    usage: Usage

    def __len__(self) -> int:
        return _ENTRY_BYTES


@router.post(
    "/rerank", name="rerank_texts", summary="Order texts by how well they answer", response_model=list[RankedText]
)
async def rerank_texts(request: Request, body: TextsToRankBody, serving: ServingDependency) -> Response:
    """Score each text for the query, in the form of Text Embeddings Inference."""

    def respond(answered: Answered[_Scored]) -> Iterator[bytes]:
        ranked = (
            {"index": index, "score": scored.score} | ({"text": body.texts[index]} if body.return_text else {})
            for index, scored in _best_first(answered.items)
        )
        return json_list(json.dumps(entry, ensure_ascii=False).encode() for entry in ranked)

    asked = _asked("tei", body, "texts", body.texts, serving.settings, respond, raw_scores=body.raw_scores)
    return await answer(request, serving, asked)


@router.post(
    "/v1/rerank",
    name="rerank_documents",
    summary="Order documents by how well they answer",
    response_model=RankedDocuments,
    response_model_exclude_none=True,
)
@router.post(
    "/v2/rerank",
    name="rerank_documents_again",
    summary="Order documents by how well they answer, at the address of Cohere's newer clients",
    response_model=RankedDocuments,
    response_model_exclude_none=True,
)
async def rerank_documents(request: Request, body: DocumentsToRankBody, serving: ServingDependency) -> Response:
    """Score each document for the query, in the form of Cohere and Jina."""
    texts = [one.text if isinstance(one, DocumentBody) else one for one in body.documents]

    def respond(answered: Answered[_Scored]) -> Iterator[bytes]:
        best = _best_first(answered.items)[: body.top_n]
        tokens = sum(scored.usage.tokens for scored in answered.items)
        about = {"id": answered.record.request_id, "object": "list", "model": answered.model.name}
        usage = {
            "total_tokens": tokens,
            "prompt_tokens": tokens,
            "windows": sum(scored.usage.windows for scored in answered.items),
            "truncated_tokens": sum(scored.usage.truncated_tokens for scored in answered.items),
        }
        ranked = (
            {"index": index, "relevance_score": scored.score}
            | ({"document": {"text": texts[index]}} if body.return_documents else {})
            for index, scored in best
        )
        yield json.dumps(about)[:-1].encode()
        yield b',"usage":' + json.dumps(usage).encode() + b',"results":'
        yield from json_list(json.dumps(entry, ensure_ascii=False).encode() for entry in ranked)
        yield b"}"

    asked = _asked("rerank", body, "documents", texts, serving.settings, respond)
    return await answer(request, serving, asked)


def _asked(
    dialect: Dialect,
    body: TextsToRankBody | DocumentsToRankBody,
    field: str,
    texts: Sequence[str],
    settings: Settings,
    respond: Callable[[Answered[_Scored]], Iterable[bytes]],
    *,
    raw_scores: bool = False,
) -> Asked[_Scored]:
    check_size("query", body.query, settings)
    check_size(field, list(texts), settings)

    def write(model: LoadedModel, result: ItemResult) -> _Scored:
        return _Scored(result.answer.score, result.usage)

    def reranking(model: LoadedModel) -> Task[Any, Any]:
        return Reranking(model.manifest, model.task.tokenizer, settings.rerank_label or None)

    requests = [RelevanceRequest(body.query, text, body.label, raw_scores) for text in texts]
    return Asked(
        dialect=dialect,
        served_by="classify",
        model=body.model,
        items=requests,
        listed=True,
        write=write,
        respond=respond,
        task=reranking,
        names={"document": field},
        common=frozenset({"query", "label"}),
    )


def _best_first(scored: Sequence[_Scored]) -> list[tuple[int, _Scored]]:
    return sorted(enumerate(scored), key=lambda entry: -entry[1].score)
