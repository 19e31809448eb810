"""Extractive question answering: the span of the context that answers a question.

Start and end logits are each softmaxed once over [CLS] and the context's tokens of all windows together, so spans of
different windows compete on equal terms. The question's tokens are not part of it. [CLS] stands for "no answer": it
takes its share of the probability in every window, and wins only where the request allows it.

Models trained on Natural Questions also tell the kind of answer. With them a single window speaks for the document
(`answer_types`): its spans compete, and its category, not [CLS], says whether there is an answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np
from pydantic import Field

from bigbird_inference.manifest import Manifest
from bigbird_inference.runtime.session import Outputs
from bigbird_inference.tasks.answer_types import ANSWER_TYPES, NULL, AnswerType, WindowChoice, choose_window
from bigbird_inference.tasks.base import QUICK_TOKENS, EncodedRequest, Task, once_for_each_text, take_output
from bigbird_inference.tasks.declaration import LeftOut, Listed, Operation, Text, WindowStride
from bigbird_inference.tasks.offset_units import End, Offsets, Start
from bigbird_inference.tasks.read_windows import ReadWindow, Windows, read_windows
from bigbird_inference.tasks.scores import softmax
from bigbird_inference.tasks.signature import ANSWER_TYPE_OUTPUT
from bigbird_inference.tasks.span_search import CharacterSpan, WindowProbabilities, best_spans
from bigbird_inference.tokenization.encoded import TokenizedText, Window
from bigbird_inference.tokenization.tokenizer import PAIR_SPECIAL_TOKENS, Tokenizer
from bigbird_inference.tokenization.windows import plan_windows, window_capacity

DEFAULT_MAX_ANSWER_TOKENS = 30
# An answer that is made in a millisecond.
_FEW_ANSWERS, _SHORT_ANSWER_TOKENS = 10, 100


@dataclass(frozen=True, slots=True)
class QuestionRequest:
    """A question about a document, or a list of such pairs.

    Either field may be a list. Two lists pair up item by item; one text beside a list goes with each of its items.
    """

    question: Annotated[
        Text,
        Field(
            description="The question, or a list. It stands whole in every window, so it must be much shorter than "
            "one.",
            examples=["Where can Miareis Station be found?"],
        ),
        Listed(),
    ]
    context: Annotated[
        Text,
        Field(
            description="The document that holds the answer, or a list. It may be longer than the model.",
            examples=["Takahashi House stands in Longyearbyen. Miareis Station is situated in Casablanca."],
        ),
        Listed(),
    ]
    top_k: Annotated[int, Field(ge=1, le=100, description="Most answers in `alternatives`.")] = 1
    max_answer_tokens: Annotated[int, Field(ge=1, le=4096, description="Longest answer in tokens.")] = (
        DEFAULT_MAX_ANSWER_TOKENS
    )
    window_stride: WindowStride = None
    no_answer: Annotated[bool, Field(description="Whether the empty answer competes: the document may not say.")] = (
        False
    )
    min_score: Annotated[
        float,
        Field(
            ge=0.0,
            le=1.0,
            allow_inf_nan=False,
            description="Answers with a lower score are left out; if none is left, the answer is the empty one.",
        ),
    ] = 0.0
    offsets: Offsets = "code_points"
    windows: Windows = False


@dataclass(frozen=True, slots=True)
class AnswerSpan:
    """An answer and where it stands."""

    answer: Annotated[str, Field(description="Exactly `context[start:end]`; empty if the document does not say.")]
    score: float
    start: Start
    end: End


@dataclass(frozen=True, slots=True)
class QuestionWindow(ReadWindow):
    """A window of the context, and the answers that are from it."""

    answers: Annotated[
        list[int],
        Field(
            description="Which of `alternatives` it gave, from 0. Where windows overlap, the one that gives an answer "
            "the best score; the empty answer is from none."
        ),
    ]


@dataclass(frozen=True, slots=True)
class QuestionAnswer(AnswerSpan):
    """The best answer.

    With `no_answer` the empty answer, at 0 to 0, has its place in `alternatives` like any span; a span of the same
    score stands before it. Without, it is the answer where no span reaches `min_score`. Its own score is never compared
    with `min_score`.

    With a model trained on Natural Questions, `no_answer` puts the empty answer first if `answer_type` is `null`, and
    never otherwise; its score is the probability of `null`. If `answer_type` is `yes` or `no`, that is the answer, and
    the span is a hint of where to look.
    """

    alternatives: Annotated[
        list[AnswerSpan], Field(description="The `top_k` best answers, best first, this one among them.")
    ]
    answer_type: Annotated[
        AnswerType | None,
        Field(
            description="What the document gives: no answer (`null`), some words (`short`), a passage (`long`), or "
            "`yes` or `no`. Only with models trained on Natural Questions."
        ),
        LeftOut(),
    ] = None
    answer_type_score: Annotated[
        float | None,
        Field(description="Its probability among the five. Only with models trained on Natural Questions."),
        LeftOut(),
    ] = None
    windows: Annotated[
        list[QuestionWindow] | None,
        Field(description="The windows in the order of the context, if `windows` asked for them."),
        LeftOut(),
    ] = None


class QuestionAnswering(Task[QuestionRequest, QuestionAnswer]):
    """Models with a start and an end logit for each token; some tell the kind of answer, too."""

    operation = Operation(
        "answer_question",
        "Answer a question from a document",
        "Find the span of the context that answers the question, with its exact position.",
        QuestionRequest,
        QuestionAnswer,
        located_in="context",
        smaller_answer="lower top_k or max_answer_tokens",
    )

    def __init__(self, manifest: Manifest, tokenizer: Tokenizer) -> None:
        super().__init__(manifest, tokenizer)
        self._tells_types = any(tensor.name == ANSWER_TYPE_OUTPUT for tensor in manifest.outputs)

    def encode(self, request: QuestionRequest) -> EncodedRequest[QuestionRequest]:
        """Cut the context into windows, each after the whole question."""
        return self._encode(request, self._tokenize_context)

    def encoder(self) -> Callable[[QuestionRequest], EncodedRequest[QuestionRequest]]:
        """Return an `encode` that tokenises a context once, however many questions there are about it."""
        return partial(self._encode, tokenize_context=once_for_each_text(self._tokenize_context))

    def _tokenize_context(self, context: str) -> TokenizedText:
        return self.tokenize_field("context", context)

    def _encode(
        self, request: QuestionRequest, tokenize_context: Callable[[str], TokenizedText]
    ) -> EncodedRequest[QuestionRequest]:
        question_ids = self.tokenize_field("question", request.question, positions=False).ids
        tokens = tokenize_context(request.context)
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

    def decodes_quickly(self, encoded: EncodedRequest[QuestionRequest]) -> bool:
        """Tell whether few spans of few tokens are looked at."""
        request = encoded.request
        few = request.top_k <= _FEW_ANSWERS and request.max_answer_tokens <= _SHORT_ANSWER_TOKENS
        return few and len(encoded.tokens) <= QUICK_TOKENS

    def decode(self, encoded: EncodedRequest[QuestionRequest], outputs: Sequence[Outputs]) -> QuestionAnswer:
        """Find the best spans of all windows, and compare them with the null answer where that is asked for.

        Where no span is good enough, the null answer is what remains. Where the model tells the kind of answer, that
        decides instead of a comparison, and all spans are from the window that speaks for the document.
        """
        request, windows = encoded.request, encoded.windows
        logits = take_output(outputs, "logits", [(len(window.sequence), 2) for window in windows])
        choice: WindowChoice | None = None
        if self._tells_types:
            choice = choose_window(take_output(outputs, ANSWER_TYPE_OUTPUT, [(len(ANSWER_TYPES),)] * len(windows)))
            windows, logits = [windows[choice.window]], [logits[choice.window]]
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
        ranking = [_answer(request.context, span) for span in spans if span.score >= request.min_score]
        if request.no_answer or not ranking:
            cls_scores = [float(part[0, 0] * part[0, 1]) for part in by_window]
            ranking = _with_null(ranking, min(cls_scores), choice)[: request.top_k]
        best = ranking[0]
        kind, kind_score = (None, None) if choice is None else (choice.answer_type, choice.score)
        listed = None
        if request.windows:
            speaking = 0 if choice is None else choice.window
            sources = {(span.start, span.end): span.window + speaking for span in spans}
            listed = _listed_windows(encoded, [sources.get((answer.start, answer.end)) for answer in ranking])
        return QuestionAnswer(best.answer, best.score, best.start, best.end, ranking, kind, kind_score, listed)


def _listed_windows(encoded: EncodedRequest[QuestionRequest], sources: Sequence[int | None]) -> list[QuestionWindow]:
    """Return every window with the answers that are from it, given the window of each answer."""
    return [
        QuestionWindow(
            window.start, window.end, window.tokens, [place for place, source in enumerate(sources) if source == number]
        )
        for number, window in enumerate(read_windows(encoded.tokens, encoded.windows))
    ]


def _with_null(spans: list[AnswerSpan], cls_score: float, choice: WindowChoice | None) -> list[AnswerSpan]:
    """Add the null answer to a ranking: in its place by score, but first or not first where there is a choice."""
    null = AnswerSpan("", cls_score if choice is None else choice.null_score, 0, 0)
    ranking = sorted([*spans, null], key=lambda answer: -answer.score)
    if choice is None or not spans:
        return ranking
    best = null if choice.answer_type == NULL else spans[0]
    ranking.remove(best)
    return [best, *ranking]


def _answer(context: str, span: CharacterSpan) -> AnswerSpan:
    return AnswerSpan(context[span.start : span.end], span.score, span.start, span.end)
