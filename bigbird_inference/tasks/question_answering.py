"""Extractive question answering: the span of the context that answers a question.

Start and end logits are each softmaxed once over [CLS] and the context's tokens of all windows together, so spans of
different windows compete on equal terms. The question's tokens are no part of it. [CLS] stands for "no answer": it
takes its share of the probability in every window, and wins only where the request allows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bigbird_inference.errors import InvalidInput
from bigbird_inference.tasks.base import EncodedRequest, Outputs, Task, take_output
from bigbird_inference.tasks.scores import softmax
from bigbird_inference.tasks.span_search import CharacterSpan, WindowProbabilities, best_spans
from bigbird_inference.tokenization.encoded import Window
from bigbird_inference.tokenization.tokenizer import PAIR_SPECIAL_TOKENS
from bigbird_inference.tokenization.windows import plan_windows, window_capacity

DEFAULT_MAX_ANSWER_TOKENS = 30


@dataclass(frozen=True, slots=True)
class QuestionRequest:
    """A question about a context.

    Attributes:
        question: It stands whole in every window.
        context: The document; it may be longer than the model.
        top_k: How many answers `alternatives` holds at most.
        max_answer_tokens: The longest answer, in tokens.
        window_stride: Context tokens shared by neighbouring windows; None for the default.
        no_answer: Whether "the context does not say" is a possible answer.
    """

    question: str
    context: str
    top_k: int = 1
    max_answer_tokens: int = DEFAULT_MAX_ANSWER_TOKENS
    window_stride: int | None = None
    no_answer: bool = False


@dataclass(frozen=True, slots=True)
class AnswerSpan:
    """`context[start:end]` in code points and its score; the null answer is "" at 0 to 0."""

    answer: str
    score: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class QuestionAnswer:
    """The best answer, and the `top_k` best ones with it.

    `alternatives` is never empty, is sorted by falling score, and begins with the best answer itself. With `no_answer`
    the null answer has its place in it like any span; a span of the same score stands before it.
    """

    answer: str
    score: float
    start: int
    end: int
    alternatives: list[AnswerSpan]


class QuestionAnswering(Task[QuestionRequest, QuestionAnswer]):
    """Models with a start and an end logit for each token."""

    def encode(self, request: QuestionRequest) -> EncodedRequest[QuestionRequest]:
        """Cut the context into windows, each after the whole question."""
        if request.top_k < 1:
            raise InvalidInput("top_k must be at least 1")
        if request.max_answer_tokens < 1:
            raise InvalidInput("max_answer_tokens must be at least 1")
        question_ids = self.tokenize_field("question", request.question, positions=False).ids
        tokens = self.tokenize_field("context", request.context)
        surrounding = PAIR_SPECIAL_TOKENS + len(question_ids)
        capacity = window_capacity(self.manifest.max_length, surrounding, len(tokens), blame="question")
        windows = [
            Window(
                self.tokenizer.pair(
                    question_ids, tokens.ids[part.first : part.first + part.count], segments=self.has_segment_types
                ),
                text_offset=len(question_ids) + 2,
                first_token=part.first,
                token_count=part.count,
            )
            for part in plan_windows(len(tokens), capacity, request.window_stride)
        ]
        return EncodedRequest(request, tokens, windows)

    def decode(self, encoded: EncodedRequest[QuestionRequest], outputs: Sequence[Outputs]) -> QuestionAnswer:
        """Find the best spans of all windows, and compare them with the null answer where that is asked for."""
        request, windows = encoded.request, encoded.windows
        logits = take_output(outputs, "logits", [(len(window.sequence), 2) for window in windows])
        competing = [
            np.concatenate((array[:1], array[window.text_offset : window.text_offset + window.token_count]))
            for window, array in zip(windows, logits, strict=True)
        ]
        probabilities = softmax(np.concatenate(competing).T).T  # [positions, 2]
        boundaries = np.cumsum([len(part) for part in competing])[:-1]
        by_window = np.split(probabilities, boundaries)
        scored = [
            WindowProbabilities(window.first_token, part[1:, 0], part[1:, 1])
            for window, part in zip(windows, by_window, strict=True)
        ]
        spans = best_spans(encoded.tokens, scored, request.max_answer_tokens, request.top_k)
        ranking = [_answer(request.context, span) for span in spans]
        if request.no_answer:
            null_score = min(float(part[0, 0] * part[0, 1]) for part in by_window)
            ranking.append(AnswerSpan("", null_score, 0, 0))
            ranking = sorted(ranking, key=lambda answer: -answer.score)[: request.top_k]
        best = ranking[0]
        return QuestionAnswer(best.answer, best.score, best.start, best.end, ranking)


def _answer(context: str, span: CharacterSpan) -> AnswerSpan:
    return AnswerSpan(context[span.start : span.end], span.score, span.start, span.end)
