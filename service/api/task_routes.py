"""`POST /qa`, `/classify`, `/ner`, `/embed`: documents of any length, and `/multiple-choice`.

From a checked body to a task's requests, and from its answers to JSON.
"""

from fastapi import Request, Response

from bigbird_inference.errors import InvalidInput
from bigbird_inference.tasks.classification import ClassificationRequest
from bigbird_inference.tasks.embedding import EmbeddingRequest
from bigbird_inference.tasks.entity_recognition import EntityRequest
from bigbird_inference.tasks.multiple_choice import ChoiceRequest
from bigbird_inference.tasks.question_answering import QuestionRequest
from service.api.answer_schemas import (
    ChoiceAnswerBody,
    ClassificationAnswerBody,
    EmbeddingAnswerBody,
    EntityAnswerBody,
    EntitySpanBody,
    LabelBody,
    QuestionAnswerBody,
    Results,
    SpanBody,
    UsageBody,
)
from service.api.answering import ServingDependency, answer_task, check_sizes, each, pair_up, task_router
from service.api.request_schemas import ChoiceBody, ClassificationBody, EmbeddingBody, EntityBody, QuestionBody
from service.request_run import ItemResult

router = task_router()


@router.post(
    "/qa", summary="Answer a question from a document", response_model=QuestionAnswerBody | Results[QuestionAnswerBody]
)
async def answer_question(request: Request, body: QuestionBody, serving: ServingDependency) -> Response:
    """Find the span of the context that answers the question, with its exact position."""
    check_sizes(serving.settings, question=body.question, context=body.context)
    items = [
        QuestionRequest(
            question=question,
            context=context,
            top_k=body.top_k,
            max_answer_tokens=body.max_answer_tokens,
            window_stride=body.window_stride,
            no_answer=body.no_answer,
        )
        for question, context in pair_up("question", body.question, "context", body.context)
    ]
    listed = isinstance(body.question, list) or isinstance(body.context, list)
    return await answer_task(request, serving, "qa", body, items, listed=listed, shape=_question_answer)


@router.post(
    "/classify", summary="Label a document", response_model=ClassificationAnswerBody | Results[ClassificationAnswerBody]
)
async def classify(request: Request, body: ClassificationBody, serving: ServingDependency) -> Response:
    """Score the model's labels for the text."""
    check_sizes(serving.settings, text=body.text, text_pair=body.text_pair)
    pairs: list[tuple[str, str | None]]
    if body.text_pair is None:
        pairs = [(text, None) for text in each(body.text)]
    else:
        pairs = list(pair_up("text", body.text, "text_pair", body.text_pair))
    items = [
        ClassificationRequest(
            text=text,
            text_pair=text_pair,
            top_k=body.top_k,
            function=body.function,
            window_stride=body.window_stride,
        )
        for text, text_pair in pairs
    ]
    listed = isinstance(body.text, list) or isinstance(body.text_pair, list)
    return await answer_task(request, serving, "classify", body, items, listed=listed, shape=_classification_answer)


@router.post("/ner", summary="Find entities in a document", response_model=EntityAnswerBody | Results[EntityAnswerBody])
async def find_entities(request: Request, body: EntityBody, serving: ServingDependency) -> Response:
    """Find names and other entities in the text, with their exact positions."""
    check_sizes(serving.settings, text=body.text)
    items = [
        EntityRequest(
            text=text,
            aggregation=body.aggregation,
            threshold=body.threshold,
            window_stride=body.window_stride,
        )
        for text in each(body.text)
    ]
    listed = isinstance(body.text, list)
    return await answer_task(request, serving, "ner", body, items, listed=listed, shape=_entity_answer)


@router.post(
    "/embed", summary="Turn a document into a vector", response_model=EmbeddingAnswerBody | Results[EmbeddingAnswerBody]
)
async def embed(request: Request, body: EmbeddingBody, serving: ServingDependency) -> Response:
    """Return the text's embedding, and on request a vector for each of its tokens."""
    check_sizes(serving.settings, text=body.text)
    listed = isinstance(body.text, list)
    if listed and body.tokens:
        raise InvalidInput("tokens are returned for one text, not for a list")
    items = [
        EmbeddingRequest(
            text=text,
            pooling=body.pooling,
            normalize=body.normalize,
            tokens=body.tokens,
            window_stride=body.window_stride,
        )
        for text in each(body.text)
    ]
    return await answer_task(request, serving, "embed", body, items, listed=listed, shape=_embedding_answer)


@router.post(
    "/multiple-choice",
    summary="Choose the text that goes with a prompt",
    response_model=ChoiceAnswerBody | Results[ChoiceAnswerBody],
)
async def choose(request: Request, body: ChoiceBody, serving: ServingDependency) -> Response:
    """Score each choice after the prompt, and return the best one."""
    check_sizes(serving.settings, prompt=body.prompt, choices=body.choices)
    items = [ChoiceRequest(prompt, tuple(body.choices)) for prompt in each(body.prompt)]

    def shape(model: str, result: ItemResult) -> ChoiceAnswerBody:
        answer = result.answer
        return ChoiceAnswerBody(
            choice=body.choices[answer.index],
            index=answer.index,
            scores=answer.scores,
            model=model,
            usage=UsageBody.model_validate(result.usage),
        )

    listed = isinstance(body.prompt, list)
    return await answer_task(request, serving, "multiple-choice", body, items, listed=listed, shape=shape)


def _question_answer(model: str, result: ItemResult) -> QuestionAnswerBody:
    answer = result.answer
    return QuestionAnswerBody(
        answer=answer.answer,
        score=answer.score,
        start=answer.start,
        end=answer.end,
        alternatives=[SpanBody.model_validate(span) for span in answer.alternatives],
        model=model,
        usage=UsageBody.model_validate(result.usage),
    )


def _classification_answer(model: str, result: ItemResult) -> ClassificationAnswerBody:
    labels = [LabelBody.model_validate(label) for label in result.answer.labels]
    return ClassificationAnswerBody(
        label=labels[0].label,
        score=labels[0].score,
        labels=labels,
        model=model,
        usage=UsageBody.model_validate(result.usage),
    )


def _entity_answer(model: str, result: ItemResult) -> EntityAnswerBody:
    return EntityAnswerBody(
        entities=[EntitySpanBody.model_validate(entity) for entity in result.answer.entities],
        model=model,
        usage=UsageBody.model_validate(result.usage),
    )


def _embedding_answer(model: str, result: ItemResult) -> EmbeddingAnswerBody:
    answer = result.answer
    return EmbeddingAnswerBody(
        embedding=answer.embedding,
        dimension=len(answer.embedding),
        tokens=answer.tokens,
        model=model,
        usage=UsageBody.model_validate(result.usage),
    )
