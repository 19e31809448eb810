"""Text Embeddings Inference (TEI): `/predict`, `/similarity`, `/tokenize`, `/decode` and `/info`.

`/embed` takes TEI's bodies on its own path (`service.dialects.huggingface`), `/rerank` stands in
`service.dialects.rerank`. TEI serves one model; where several are loaded here, the field `model` names one.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from pydantic import Discriminator, Field, Tag, TypeAdapter

from bigbird_inference.errors import InvalidInput
from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.tasks.classification import ClassificationRequest, ScoreFunction
from bigbird_inference.tasks.declaration import Text
from bigbird_inference.tasks.embedding import default_pooling
from bigbird_inference.tokenization.tokenizer import Tokenizer, check_unicode
from bigbird_inference.version import service_version
from service.api.answering import Asked, answer, answer_without_run, listed_items
from service.api.authentication import RequireKey
from service.api.json_body import JsonRoute
from service.api.problems import documented_problems
from service.api.request_state import ServingDependency
from service.api.task_bodies import MANY, ONE, PAIR, OneOrMany, as_list, check_count, check_size
from service.dialects.bodies import AnyModel, DialectBody, Truncate, dialect_router
from service.dialects.huggingface import HuggingFaceLabel, write_labels
from service.dialects.vectors import SIMILARITY, SimilarityBody

router = dialect_router()
information = APIRouter(tags=["dialects"], dependencies=[RequireKey])

_MOST_IDS = 16_384
# As it calls them.
_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


# Classification.


def _kind(value: Any) -> str:
    if not isinstance(value, list):
        return ONE
    return MANY if value and isinstance(value[0], list) else PAIR


_Pair = Annotated[list[Text], Field(min_length=1, max_length=2)]


class PredictBody(DialectBody):
    """A text, a pair of texts, or a list of such lists, in the form of Text Embeddings Inference."""

    inputs: Annotated[
        Annotated[Text, Tag(ONE)]
        | Annotated[_Pair, Tag(PAIR)]
        | Annotated[list[_Pair], Field(min_length=1), Tag(MANY)],
        Discriminator(_kind),
        Field(
            description='A text, a pair `["a", "b"]`, or a list of several, `[["a"], ["b", "c"]]`.',
            examples=["The court admitted the claim. The limitation period has expired."],
        ),
    ]
    raw_scores: Annotated[bool, Field(description="Whether scores are logits instead of probabilities.")] = False
    truncate: Truncate = None
    model: AnyModel = None


@router.post(
    "/predict",
    name="predict",
    summary="Label a document, as Text Embeddings Inference does",
    response_model=list[HuggingFaceLabel] | list[list[HuggingFaceLabel]],
)
async def predict(request: Request, body: PredictBody, serving: ServingDependency) -> Response:
    """Score the model's labels for each text, best first."""
    given = body.inputs
    listed = isinstance(given, list) and isinstance(given[0], list)
    texts: Sequence[Any] = given if listed else [[given] if isinstance(given, str) else given]
    for number in range(2):
        check_size("inputs", [pair[number] for pair in texts if len(pair) > number], serving.settings)
    function: ScoreFunction | None = "none" if body.raw_scores else None
    requests = [
        ClassificationRequest(first, second[0] if second else None, function=function) for first, *second in texts
    ]

    asked = Asked(
        dialect="tei",
        served_by="classify",
        model=body.model,
        items=requests,
        listed=listed,
        write=write_labels,
        respond=listed_items if listed else lambda answered: answered.items,
        names={"text": "inputs"},
    )
    return await answer(request, serving, asked)


# How alike sentences are.


@router.post(
    "/similarity",
    name="compare_sentences",
    summary="How alike are sentences?",
    response_model=SIMILARITY.answer,
)
async def compare_sentences(request: Request, body: SimilarityBody, serving: ServingDependency) -> Response:
    """Return the cosine of each sentence's embedding with that of the source sentence."""
    return await answer(request, serving, replace(SIMILARITY.asked(body, serving.settings), dialect="tei"))


# Tokens.


class TokenizeBody(DialectBody):
    """A text, or a list of texts, to cut into tokens."""

    inputs: Annotated[OneOrMany, Field(examples=["Maria Okafor signed."])]
    add_special_tokens: Annotated[bool, Field(description="Whether the tokens around a text are returned, too.")] = True
    model: AnyModel = None


@dataclass(frozen=True, slots=True)
class TokenBody:
    """A token: `text` is the input's `[start:stop]` in code points; the special ones stand nowhere in it."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


_TOKENS = TypeAdapter(list[TokenBody])


@router.post("/tokenize", name="tokenize", summary="Cut texts into tokens", response_model=list[list[TokenBody]])
async def tokenize(request: Request, body: TokenizeBody, serving: ServingDependency) -> Response:
    """Return the tokens of each text, with the positions that they stand for."""
    check_size("inputs", body.inputs, serving.settings)
    texts, _ = as_list(body.inputs)
    for text in texts:
        check_unicode(text, "inputs")

    def write(model: LoadedModel, text: str) -> bytes:
        return _TOKENS.dump_json(_tokens(model.task.tokenizer, text, special=body.add_special_tokens))

    return await answer_without_run(request, serving, "tei", body.model, texts, write)


def _tokens(tokenizer: Tokenizer, text: str, *, special: bool) -> list[TokenBody]:
    found = tokenizer.tokenize(text)
    spans = zip(found.ids.tolist(), found.starts.tolist(), found.ends.tolist(), strict=True)
    tokens = [TokenBody(number, text[start:end], False, start, end) for number, start, end in spans]
    if not special:
        return tokens
    first, last = (
        TokenBody(number, tokenizer.vocabulary.token_text(number), True, None, None)
        for number in (tokenizer.cls_id, tokenizer.sep_id)
    )
    return [first, *tokens, last]


_Ids = Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=_MOST_IDS)]


def _ids_kind(value: Any) -> str:
    return MANY if isinstance(value, list) and value and isinstance(value[0], list) else ONE


class DecodeBody(DialectBody):
    """Ids, or lists of them, to make texts of."""

    ids: Annotated[
        Annotated[_Ids, Tag(ONE)] | Annotated[list[_Ids], Tag(MANY)],
        Discriminator(_ids_kind),
        Field(description="Ids of tokens, from `/tokenize`, or a list of such lists.", examples=[[101, 102]]),
    ]
    skip_special_tokens: Annotated[
        bool,
        Field(
            description="Whether the tokens that steer the model (classification, separation, mask, padding) are left "
            "out; otherwise they read as their names."
        ),
    ] = True
    model: AnyModel = None


class _IdsRoute(JsonRoute):
    """Takes more values than one text needs."""

    other_values = 2 * _MOST_IDS


# What holds for all routes, it gets from the other router.
_decoding = APIRouter(route_class=_IdsRoute)


@_decoding.post("/decode", name="decode", summary="Make texts of tokens", response_model=list[str])
async def decode(request: Request, body: DecodeBody, serving: ServingDependency) -> Response:
    """Return the text of each list of ids."""
    given: Sequence[Any] = body.ids
    lists = given if _ids_kind(given) == MANY else [given]
    check_count("ids", len(lists), serving.settings)

    def write(model: LoadedModel, ids: Sequence[int]) -> bytes:
        return json.dumps(_text(model.task.tokenizer, ids, special=not body.skip_special_tokens)).encode()

    return await answer_without_run(request, serving, "tei", body.model, lists, write)


def _text(tokenizer: Tokenizer, ids: Sequence[int], *, special: bool) -> str:
    """Return the text of tokens; special ones are left out, or read as their names with a space before and after.

    Raises:
        InvalidInput: An id is not a token.
    """
    if any(number >= len(tokenizer.vocabulary) for number in ids):
        raise InvalidInput(f"ids holds one that is not a token: the vocabulary has {len(tokenizer.vocabulary)}")
    names = (tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id, tokenizer.pad_id)
    parts: list[str] = []
    plain: list[int] = []

    def end_plain() -> None:
        if plain:
            text = tokenizer.vocabulary.text_after(np.zeros(0, np.int64), np.array(plain, np.int64))
            parts.append(text.strip(" "))
            plain.clear()

    for number in ids:
        if number not in names:
            plain.append(number)
        elif special:
            end_plain()
            parts.append(tokenizer.vocabulary.token_text(number))
    end_plain()
    return " ".join(parts)


router.include_router(_decoding)


# What is served.


@dataclass(frozen=True, slots=True)
class ServerInformation:
    """A model and the server's limits, as Text Embeddings Inference tells them."""

    model_id: str
    model_sha: str
    model_dtype: str
    model_type: dict[str, Any]
    max_concurrent_requests: int
    max_input_length: Annotated[int, Field(description="Tokens of a window; longer texts are read in several.")]
    max_batch_tokens: int
    max_batch_requests: int
    max_client_batch_size: int
    auto_truncate: Annotated[bool, Field(description="Always false: nothing is ever cut.")]
    tokenization_workers: int
    version: str


@information.get(
    "/info",
    name="get_information",
    summary="A model and the server's limits",
    responses=documented_problems(404, 422),
)
async def info(
    serving: ServingDependency,
    model: Annotated[
        str | None, Query(min_length=1, max_length=255, description="Its name; not needed where one is loaded.")
    ] = None,
) -> ServerInformation:
    """Tell about a model in the form of Text Embeddings Inference."""
    chosen = serving.models.choose_any(model)
    manifest, settings = chosen.manifest, serving.settings
    labels = {str(number): label for number, label in enumerate(manifest.labels)}
    numbers = {label: number for number, label in enumerate(manifest.labels)}
    classifier = {"id2label": labels, "label2id": numbers}
    kinds: dict[str, dict[str, Any]] = {
        "embed": {"embedding": {"pooling": default_pooling(manifest)}},
        "classify": {"reranker" if len(labels) == 1 else "classifier": classifier},
    }
    return ServerInformation(
        model_id=chosen.name,
        model_sha=chosen.revision,
        model_dtype=_DTYPES.get(manifest.precision, manifest.precision),
        model_type=kinds.get(manifest.task, {manifest.task: {}}),
        max_concurrent_requests=settings.max_requests,
        max_input_length=manifest.max_length,
        max_batch_tokens=settings.max_batch_tokens,
        max_batch_requests=settings.max_batch_items,
        max_client_batch_size=settings.max_list_items,
        auto_truncate=False,
        tokenization_workers=serving.text_turns.threads,
        version=service_version(),
    )
