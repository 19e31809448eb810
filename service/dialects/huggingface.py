"""Hugging Face: `{"inputs": ..., "parameters": {...}}`, answered in the shapes of transformers' pipelines.

What `huggingface_hub.InferenceClient` and `@huggingface/inference` send to an address of their user's choice. Each task
has a form: a body, which is turned into the task's own requests, and the shape of its answer. The forms are served on
the tasks' own paths and, for a model by name, on `/models/{name}`; `docs/dialects.md` lists what differs from the
pipelines. `embed` stands in `service.dialects.vectors`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, Tag, TypeAdapter

from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.manifest import TaskName
from bigbird_inference.tasks.classification import ClassificationRequest, ScoreFunction
from bigbird_inference.tasks.declaration import Text, WindowStride
from bigbird_inference.tasks.entity_grouping import Aggregation
from bigbird_inference.tasks.entity_recognition import EntityRequest
from bigbird_inference.tasks.mask_filling import MaskRequest
from bigbird_inference.tasks.question_answering import QuestionRequest
from service.api.answering import Asked, json_list, listed_items
from service.api.task_bodies import ONE, PAIR, OneOrMany, OneOrMore, as_list, check_size, json_parts
from service.dialects.bodies import AnyModel, DialectBody, Form
from service.dialects.vectors import EMBEDDINGS, SIMILARITY
from service.request_run import ItemResult
from service.settings import Settings

# What the question-answering pipeline takes for the longest answer unless told otherwise.
_PIPELINE_ANSWER_TOKENS = 15
# What the tasks' fields are called here.
_TEXT_NAME = {"text": "inputs"}
_QUESTION_NAMES = {
    "window_stride": "parameters.doc_stride",
    "max_answer_tokens": "parameters.max_answer_len",
    "question": "inputs.question",
    "context": "inputs.context",
}


# Question answering.


class QuestionInputs(DialectBody):
    """A question about a document."""

    question: Text
    context: Text


def _unaligned(value: bool) -> bool:
    # Not `Literal[False]`: 0 equals it.
    if value:
        raise ValueError("Input should be False")
    return value


class QuestionParameters(DialectBody):
    """What the question-answering pipeline is told; positions are of characters, and never moved to ends of words."""

    top_k: Annotated[int, Field(ge=1, le=100, description="Most answers.")] = 1
    max_answer_len: Annotated[int, Field(ge=1, le=4096, description="Longest answer in tokens.")] = (
        _PIPELINE_ANSWER_TOKENS
    )
    doc_stride: WindowStride = None
    handle_impossible_answer: Annotated[bool, Field(description="Whether the empty answer competes.")] = False
    align_to_words: Annotated[
        bool,
        AfterValidator(_unaligned),
        Field(
            description="Answers are not widened to whole words; `true` is refused.",
            json_schema_extra={"const": False},
        ),
    ] = False


class HuggingFaceQuestionBody(DialectBody):
    """A question about a document, or a list of them, in the form of Hugging Face."""

    inputs: Annotated[
        OneOrMore[QuestionInputs],
        Field(
            examples=[
                {
                    "question": "Where can Miareis Station be found?",
                    "context": "Takahashi House stands in Longyearbyen. Miareis Station is situated in Casablanca.",
                }
            ]
        ),
    ]
    parameters: QuestionParameters = QuestionParameters()
    model: AnyModel = None


@dataclass(frozen=True, slots=True)
class HuggingFaceAnswer:
    """An answer: `context[start:end]`."""

    score: float
    start: int
    end: int
    answer: str


_ANSWERS = TypeAdapter(list[HuggingFaceAnswer])


def _question(body: HuggingFaceQuestionBody, settings: Settings) -> Asked[bytes]:
    pairs, listed = as_list(body.inputs)
    check_size("inputs.question", [pair.question for pair in pairs], settings)
    check_size("inputs.context", [pair.context for pair in pairs], settings)
    parameters = body.parameters
    requests = [
        QuestionRequest(
            pair.question,
            pair.context,
            top_k=parameters.top_k,
            max_answer_tokens=parameters.max_answer_len,
            window_stride=parameters.doc_stride,
            no_answer=parameters.handle_impossible_answer,
        )
        for pair in pairs
    ]

    def write(model: LoadedModel, result: ItemResult) -> bytes:
        spans = result.answer.alternatives or [result.answer]
        written = b"".join(
            json_parts(_ANSWERS, [HuggingFaceAnswer(span.score, span.start, span.end, span.answer) for span in spans])
        )
        # The pipeline gives a single answer without a list around it.
        return written[1:-1] if len(spans) == 1 else written

    return _asked("qa", body, requests, write, listed, _QUESTION_NAMES)


# Text classification.


class TextPair(DialectBody):
    """A text with a second one."""

    text: Text
    text_pair: Text


class ClassificationParameters(DialectBody):
    """What the text-classification pipeline is told."""

    top_k: Annotated[int | None, Field(ge=1, le=10_000, description="Most labels. Default: all.")] = None
    function_to_apply: Annotated[
        ScoreFunction | None,
        Field(description="How logits become scores. Default: what the model was trained with."),
    ] = None


def _text_or_pair(value: Any) -> str:
    return PAIR if isinstance(value, (dict, TextPair)) else ONE


TextOrPair = Annotated[Annotated[Text, Tag(ONE)] | Annotated[TextPair, Tag(PAIR)], Discriminator(_text_or_pair)]


class HuggingFaceClassificationBody(DialectBody):
    """A text or a pair of texts to classify, or a list of them, in the form of Hugging Face."""

    inputs: Annotated[
        OneOrMore[TextOrPair], Field(examples=["The court admitted the claim. The limitation period has expired."])
    ]
    parameters: ClassificationParameters = ClassificationParameters()
    model: AnyModel = None


@dataclass(frozen=True, slots=True)
class HuggingFaceLabel:
    """A label and its score."""

    label: str
    score: float


_LABELS = TypeAdapter(list[HuggingFaceLabel])


def _classification(body: HuggingFaceClassificationBody, settings: Settings) -> Asked[bytes]:
    given, listed = as_list(body.inputs)
    texts = [(one.text, one.text_pair) if isinstance(one, TextPair) else (one, None) for one in given]
    check_size("inputs", [text for text, _ in texts], settings)
    check_size("inputs.text_pair", [pair for _, pair in texts if pair is not None], settings)
    parameters = body.parameters
    requests = [
        ClassificationRequest(text, pair, top_k=parameters.top_k, function=parameters.function_to_apply)
        for text, pair in texts
    ]
    # A list even for one text, as the hosted service has it and the clients expect it.
    return Asked(
        dialect="huggingface",
        served_by="classify",
        model=body.model,
        items=requests,
        listed=listed,
        write=write_labels,
        respond=listed_items,
        names={"text_pair": "inputs.text_pair", **_TEXT_NAME},
    )


def write_labels(model: LoadedModel, result: ItemResult) -> bytes:
    """Return the scored labels of a text, best first."""
    labels = [HuggingFaceLabel(label.label, label.score) for label in result.answer.labels]
    return b"".join(json_parts(_LABELS, labels))


# Token classification.


class EntityParameters(DialectBody):
    """What the token-classification pipeline is told."""

    aggregation_strategy: Annotated[
        Aggregation | None,
        Field(
            description="How tokens become entities; `none` returns tokens with their labels. When absent, what `/ner` "
            "does with this model: `simple`, or `average` where it is told the case of words."
        ),
    ] = None
    ignore_labels: Annotated[
        list[str] | None, Field(max_length=256, description="Labels that are left out. Default: `O`.")
    ] = None
    stride: WindowStride = None


class HuggingFaceEntityBody(DialectBody):
    """A text to find entities in, or a list of texts, in the form of Hugging Face."""

    inputs: Annotated[OneOrMany, Field(examples=["Maria Okafor signed for Halden Works in Bergen."])]
    parameters: EntityParameters = EntityParameters()
    model: AnyModel = None


@dataclass(frozen=True, slots=True)
class HuggingFaceEntity:
    """An entity of one or more tokens: `word` is the text's `[start:end]`."""

    entity_group: str
    score: float
    word: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class HuggingFaceToken:
    """A token with its label, without aggregation."""

    entity: str
    score: float
    word: str
    start: int
    end: int


_ENTITIES = TypeAdapter(list[HuggingFaceEntity])
_TOKENS = TypeAdapter(list[HuggingFaceToken])


def _entities(body: HuggingFaceEntityBody, settings: Settings) -> Asked[bytes]:
    check_size("inputs", body.inputs, settings)
    texts, listed = as_list(body.inputs)
    parameters = body.parameters
    requests = [
        EntityRequest(
            text,
            aggregation=parameters.aggregation_strategy,
            ignore_labels=parameters.ignore_labels,
            window_stride=parameters.stride,
        )
        for text in texts
    ]
    tokens = parameters.aggregation_strategy == "none"

    def write(model: LoadedModel, result: ItemResult) -> bytes:
        found = result.answer.entities
        if tokens:
            single = [HuggingFaceToken(one.entity, one.score, one.text, one.start, one.end) for one in found]
            return b"".join(json_parts(_TOKENS, single))
        grouped = [HuggingFaceEntity(one.entity, one.score, one.text, one.start, one.end) for one in found]
        return b"".join(json_parts(_ENTITIES, grouped))

    return _asked("ner", body, requests, write, listed, {"window_stride": "parameters.stride", **_TEXT_NAME})


# Filling masks.


class MaskParameters(DialectBody):
    """What the fill-mask pipeline is told."""

    top_k: Annotated[int, Field(ge=1, le=1000, description="Most predictions for each mask.")] = 5


class HuggingFaceMaskBody(DialectBody):
    """A text with masks to fill, or a list of texts, in the form of Hugging Face."""

    inputs: Annotated[OneOrMany, Field(examples=["Bergen is a city in [MASK]."])]
    parameters: MaskParameters = MaskParameters()
    model: AnyModel = None


@dataclass(frozen=True, slots=True)
class HuggingFaceFill:
    """A token that could stand for a mask."""

    score: float
    token: int
    token_str: str
    sequence: str


_FILLS = TypeAdapter(list[HuggingFaceFill])


def _masks(body: HuggingFaceMaskBody, settings: Settings) -> Asked[bytes]:
    check_size("inputs", body.inputs, settings)
    texts, listed = as_list(body.inputs)
    requests = [MaskRequest(text, top_k=body.parameters.top_k) for text in texts]

    def write(model: LoadedModel, result: ItemResult) -> bytes:
        masks = [
            b"".join(
                json_parts(
                    _FILLS, [HuggingFaceFill(one.score, one.token_id, one.token, one.sequence) for one in predictions]
                )
            )
            for predictions in result.answer.predictions
        ]
        return masks[0] if len(masks) == 1 else b"".join(json_list(masks))

    return _asked("fill-mask", body, requests, write, listed, _TEXT_NAME)


FORMS: Mapping[TaskName, Form] = {
    "qa": Form(
        HuggingFaceQuestionBody,
        HuggingFaceAnswer | list[HuggingFaceAnswer] | list[list[HuggingFaceAnswer]],
        _question,
    ),
    "classify": Form(HuggingFaceClassificationBody, list[list[HuggingFaceLabel]], _classification),
    "ner": Form(
        HuggingFaceEntityBody,
        list[HuggingFaceEntity] | list[HuggingFaceToken] | list[list[HuggingFaceEntity]] | list[list[HuggingFaceToken]],
        _entities,
    ),
    "fill-mask": Form(
        HuggingFaceMaskBody,
        list[HuggingFaceFill] | list[list[HuggingFaceFill]] | list[list[list[HuggingFaceFill]]],
        _masks,
    ),
    "embed": EMBEDDINGS,
}
"""By task."""


def form_of(task: TaskName, body: Any) -> Form | None:
    """Return the form that a parsed body of a task is in, or None if the task has none."""
    inputs = body.get("inputs") if isinstance(body, dict) else None
    return SIMILARITY if task == "embed" and isinstance(inputs, dict) else FORMS.get(task)


def _asked(
    task: TaskName,
    body: HuggingFaceQuestionBody | HuggingFaceEntityBody | HuggingFaceMaskBody,
    requests: Sequence[Any],
    write: Callable[[LoadedModel, ItemResult], bytes],
    listed: bool,
    names: Mapping[str, str],
) -> Asked[bytes]:
    """Return what is asked where a list is answered by a list, and one item by one answer."""
    return Asked(
        dialect="huggingface",
        served_by=task,
        model=body.model,
        items=requests,
        listed=listed,
        write=write,
        respond=listed_items if listed else lambda answered: answered.items,
        names=names,
    )
