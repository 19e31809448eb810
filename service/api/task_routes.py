"""`POST /qa`, `/classify` and `/ner`: from a checked body to a task's requests, and from its answers to JSON."""

from fastapi import APIRouter, Request

from service.api.answer_schemas import (
    ClassificationAnswerBody,
    EntityAnswerBody,
    EntitySpanBody,
    LabelBody,
    QuestionAnswerBody,
    Results,
    SpanBody,
    UsageBody,
)
from service.api.answering import ServingDependency, answer_task, check_sizes, pair_up
from service.api.json_body import JsonRoute
from service.api.problems import documented_problems
from service.api.request_schemas import ClassificationBody, EntityBody, QuestionBody
from service.inference import ItemResult
from service.tasks.classification import ClassificationRequest
from service.tasks.entity_recognition import EntityRequest
from service.tasks.question_answering import QuestionRequest

router = APIRouter(
    route_class=JsonRoute,
    tags=["tasks"],
    responses=documented_problems(400, 404, 405, 413, 415, 422, 429, 500, 503, 504),
)


@router.post("/qa", summary="Answer a question from a document")
async def answer_question(
    request: Request, body: QuestionBody, serving: ServingDependency
) -> QuestionAnswerBody | Results[QuestionAnswerBody]:
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


@router.post("/classify", summary="Label a document")
async def classify(
    request: Request, body: ClassificationBody, serving: ServingDependency
) -> ClassificationAnswerBody | Results[ClassificationAnswerBody]:
    """Score the model's labels for the text."""
    check_sizes(serving.settings, text=body.text, text_pair=body.text_pair)
    pairs: list[tuple[str, str | None]]
    if body.text_pair is None:
        pairs = [(text, None) for text in ([body.text] if isinstance(body.text, str) else body.text)]
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


@router.post("/ner", summary="Find entities in a document")
async def find_entities(
    request: Request, body: EntityBody, serving: ServingDependency
) -> EntityAnswerBody | Results[EntityAnswerBody]:
    """Find names and other entities in the text, with their exact positions."""
    check_sizes(serving.settings, text=body.text)
    items = [
        EntityRequest(
            text=text,
            aggregation=body.aggregation,
            threshold=body.threshold,
            window_stride=body.window_stride,
        )
        for text in ([body.text] if isinstance(body.text, str) else body.text)
    ]
    listed = isinstance(body.text, list)
    return await answer_task(request, serving, "ner", body, items, listed=listed, shape=_entity_answer)


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
