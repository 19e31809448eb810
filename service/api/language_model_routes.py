"""`POST /fill-mask`, `/next-sentence` and `/generate`: what language models are trained for before any other task.

From a checked body to a task's requests, and from its answers to JSON.
"""

from fastapi import Request, Response

from bigbird_inference.tasks.generation import GenerationRequest
from bigbird_inference.tasks.mask_filling import MaskRequest
from bigbird_inference.tasks.next_sentence import NextSentenceRequest
from service.api.answer_schemas import (
    GenerationAnswerBody,
    MaskAnswerBody,
    NextSentenceAnswerBody,
    NextSentenceScoresBody,
    Results,
    UsageBody,
)
from service.api.answering import ServingDependency, answer_task, check_sizes, each, pair_up, task_router
from service.api.request_schemas import GenerationBody, MaskBody, NextSentenceBody
from service.request_run import ItemResult

router = task_router()


@router.post("/fill-mask", summary="Fill the masks of a text", response_model=MaskAnswerBody | Results[MaskAnswerBody])
async def fill_masks(request: Request, body: MaskBody, serving: ServingDependency) -> Response:
    """Predict the tokens that the text's masks could stand for."""
    check_sizes(serving.settings, text=body.text)
    items = [
        MaskRequest(text=text, mask=body.mask, top_k=body.top_k, sequences=body.sequences) for text in each(body.text)
    ]
    listed = isinstance(body.text, list)
    return await answer_task(request, serving, "fill-mask", body, items, listed=listed, shape=_mask_answer)


@router.post(
    "/next-sentence",
    summary="Does one text follow another?",
    response_model=NextSentenceAnswerBody | Results[NextSentenceAnswerBody],
)
async def judge_next_sentence(request: Request, body: NextSentenceBody, serving: ServingDependency) -> Response:
    """Score whether the second text follows the first."""
    check_sizes(serving.settings, first=body.first, second=body.second)
    pairs = pair_up("first", body.first, "second", body.second)
    items = [NextSentenceRequest(first, second) for first, second in pairs]
    listed = isinstance(body.first, list) or isinstance(body.second, list)
    return await answer_task(request, serving, "next-sentence", body, items, listed=listed, shape=_next_sentence_answer)


@router.post(
    "/generate", summary="Continue a prompt", response_model=GenerationAnswerBody | Results[GenerationAnswerBody]
)
async def generate(request: Request, body: GenerationBody, serving: ServingDependency) -> Response:
    """Generate text after the prompt, token by token."""
    check_sizes(serving.settings, prompt=body.prompt)
    items = [
        GenerationRequest(
            prompt=prompt,
            max_new_tokens=body.max_new_tokens,
            sampling=body.sampling,
            top_p=body.top_p,
            temperature=body.temperature,
            seed=body.seed,
        )
        for prompt in each(body.prompt)
    ]
    listed = isinstance(body.prompt, list)
    return await answer_task(request, serving, "generate", body, items, listed=listed, shape=_generation_answer)


def _mask_answer(model: str, result: ItemResult) -> MaskAnswerBody:
    usage = UsageBody.model_validate(result.usage)
    return MaskAnswerBody(predictions=result.answer.predictions, model=model, usage=usage)


def _next_sentence_answer(model: str, result: ItemResult) -> NextSentenceAnswerBody:
    scores = NextSentenceScoresBody.model_validate(result.answer)
    return NextSentenceAnswerBody(
        is_next=scores.is_next >= scores.not_next,
        score=scores.is_next,
        scores=scores,
        model=model,
        usage=UsageBody.model_validate(result.usage),
    )


def _generation_answer(model: str, result: ItemResult) -> GenerationAnswerBody:
    answer = result.answer
    return GenerationAnswerBody(
        text=answer.text,
        tokens=answer.tokens,
        stop=answer.stop,
        seed=answer.seed,
        model=model,
        usage=UsageBody.model_validate(result.usage),
    )
