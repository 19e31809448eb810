"""SQuAD files: every question of a context, one request each.

The no-answer score of a question is log(score of the empty answer) - log(score of the best other answer). The scores
are products of a start's and an end's probability out of the same two softmaxes, so this is the difference of sums of
logits that SQuAD's own scripts are usually given. Where the model tells the kind of answer, the score of the empty
answer is the probability that there is none, and the no-answer score is its log odds: the spans' scores have no part in
whether there is an answer.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.asking import Answer, Outcome
from evaluation.data.squad import SquadExample, SquadVersion, read_squad
from evaluation.datasets.base import Dataset, Item, Judgement
from evaluation.figures import Decisions, Figure, IntArray, Scores
from evaluation.metrics.intervals import Statistic
from evaluation.metrics.squad import BestThreshold, best_threshold, exact_match, token_f1

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# As many as the service gives, so that the empty answer is nearly always among them.
_ALTERNATIVES = 100
# In place of a score of 0, which has no logarithm.
_LEAST_SCORE = float(np.finfo(np.float64).tiny)


class QuestionAnswering(Dataset):
    """Exact match and F1; for v2.0 also of answerable and impossible questions apart, and with the best threshold.

    Args:
        path: The file.
        fields: More fields of the requests, such as `max_answer_tokens`.
    """

    def __init__(self, path: Path, fields: Mapping[str, Any]) -> None:
        self._file = read_squad(path)
        if self._file.version == "v2.0":
            fields = {**fields, "no_answer": True, "top_k": _ALTERNATIVES}
        contexts: dict[str, int] = {}
        items = [
            Item(
                {"question": example.question, "context": example.context, **fields},
                contexts.setdefault(example.context, len(contexts)),
                example.line,
                example.id,
            )
            for example in self._file.examples
        ]
        super().__init__(path, items)

    @property
    def description(self) -> str:
        return f"SQuAD {self._file.version}, {len(self.items)} questions about {self.documents} documents"

    def needed(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Keep three of the alternatives: the best that is not empty, the empty one, and the last."""
        alternatives = body["alternatives"]
        spans = [one for one in alternatives if one["answer"]]
        empty = [one for one in alternatives if not one["answer"]]
        kept = {"answer": body["answer"], "alternatives": [*spans[:1], *(empty[:1] or alternatives[-1:])]}
        return kept | {name: body[name] for name in ("answer_type",) if name in body}

    def judge(self, outcomes: Sequence[Outcome]) -> Sequence[Judgement]:
        return [
            Judgement(
                [answer.text for answer in example.answers],
                outcome.body["answer"] if isinstance(outcome, Answer) else None,
                own.exact == 1,
                own.f1,
            )
            for example, outcome, own in zip(self._file.examples, outcomes, self._judged(outcomes), strict=True)
        ]

    def _judged(self, outcomes: Sequence[Outcome]) -> "list[_Judged]":
        pairs = zip(self._file.examples, outcomes, strict=True)
        return [_judge(example, outcome, self._file.version) for example, outcome in pairs]

    def score(self, outcomes: Sequence[Outcome]) -> Scores:
        judged = self._judged(outcomes)
        questions = _Questions(
            np.array([item.document for item in self.items]),
            np.array([judgement.exact for judgement in judged]),
            np.array([judgement.f1 for judgement in judged]),
        )
        everything = np.ones(len(judged), dtype=np.bool_)
        figures = questions.means("", everything)
        if self._file.version == "v2.0":
            impossible = np.array([example.impossible for example in self._file.examples])
            exact_of_impossible, _ = questions.means(", impossible", impossible)  # both are the same
            figures += [*questions.means(", answerable", ~impossible), exact_of_impossible]
            figures.append(questions.detection("no-answer F1", np.array([own.empty for own in judged]), impossible))
            figures += questions.with_best_threshold(judged, impossible)
        right = frozenset(np.flatnonzero(questions.exact).tolist())
        return Scores(figures, Decisions(frozenset(range(len(judged))), right), self._notes(judged))

    def _notes(self, judged: "Sequence[_Judged]") -> list[str]:
        unlisted = sum(own.unlisted for own in judged)
        if self._file.version == "v1.1" or not unlisted:
            return []
        return [
            f"For {unlisted} questions the empty answer was not among the {_ALTERNATIVES} best; for the best "
            "thresholds it is taken to score as much as the last of them, which is the most that it can."
        ]


@dataclass(frozen=True, slots=True)
class _Judged:
    """What the answer to a question is worth; of a refused one everything is 0, and no threshold takes it for empty.

    Attributes:
        exact: Exact match of the answer.
        f1: Its F1.
        empty: Whether it is that there is no answer.
        span_exact: Exact match of the best answer that is not empty.
        span_f1: Its F1.
        no_answer: The no-answer score.
        unlisted: Whether the score of the empty answer is not known.
    """

    exact: float = 0.0
    f1: float = 0.0
    empty: bool = False
    span_exact: float = 0.0
    span_f1: float = 0.0
    no_answer: float = -math.inf
    unlisted: bool = False


def _judge(example: SquadExample, outcome: Outcome, version: SquadVersion) -> _Judged:
    if not isinstance(outcome, Answer):
        return _Judged()
    answers = [answer.text for answer in example.answers]
    prediction = outcome.body["answer"]
    alternatives = [(one["answer"], one["score"]) for one in outcome.body["alternatives"]]
    span, span_score = next((one for one in alternatives if one[0]), ("", 0.0))
    empty_scores = [score for text, score in alternatives if not text]
    empty_score = empty_scores[0] if empty_scores else alternatives[-1][1]
    answered_score = 1 - empty_score if "answer_type" in outcome.body else span_score
    return _Judged(
        exact=exact_match(prediction, answers, version),
        f1=token_f1(prediction, answers, version),
        empty=not prediction,
        span_exact=exact_match(span, answers, version),
        span_f1=token_f1(span, answers, version),
        no_answer=math.log(max(empty_score, _LEAST_SCORE)) - math.log(max(answered_score, _LEAST_SCORE)),
        unlisted=not empty_scores,
    )


@dataclass(frozen=True, slots=True)
class _Questions:
    """Figures of documents out of what their questions have; all arrays are `[questions]`."""

    document: IntArray
    exact: FloatArray
    f1: FloatArray

    def means(self, suffix: str, chosen: BoolArray) -> list[Figure]:
        """Return the exact match and the F1 of the chosen questions."""
        return [
            Figure(f"exact match{suffix}", self._mean(self.exact, chosen), self._count(chosen), share=True),
            Figure(f"F1{suffix}", self._mean(self.f1, chosen), self._count(chosen)),
        ]

    def detection(self, name: str, predicted: BoolArray, expected: BoolArray) -> Figure:
        """Return the F1 of telling the expected questions from the others."""

        def statistic(documents: IntArray) -> float:
            weights = self._weights(documents)
            involved = int(weights @ predicted + weights @ expected)
            return 2 * int(weights @ (predicted & expected)) / involved if involved else float("nan")

        return Figure(name, statistic, self._count(expected))

    def with_best_threshold(self, judged: Sequence[_Judged], impossible: BoolArray) -> list[Figure]:
        """Return the exact match and the F1 that the best threshold of the no-answer score would give, and which it is.

        A threshold of minus infinity means that it is best to answer nothing.
        """
        no_answer = np.array([own.no_answer for own in judged])

        def figures(name: str, scores: FloatArray) -> list[Figure]:
            def best(documents: IntArray) -> BestThreshold:
                chosen = self._weights(documents) > 0
                return best_threshold(scores[chosen], no_answer[chosen], impossible[chosen])

            items = self._count(np.ones_like(impossible))
            return [
                Figure(f"best {name}", lambda documents: best(documents).score, items, detail=True, interval=False),
                Figure(
                    f"threshold of best {name}",
                    lambda documents: best(documents).threshold,
                    items,
                    detail=True,
                    interval=False,
                ),
            ]

        return [
            *figures("exact match", np.array([own.span_exact for own in judged])),
            *figures("F1", np.array([own.span_f1 for own in judged])),
        ]

    def _mean(self, values: FloatArray, chosen: BoolArray) -> Statistic:
        def statistic(documents: IntArray) -> float:
            weights = self._weights(documents) * chosen
            return float(weights @ values / weights.sum()) if weights.any() else float("nan")

        return statistic

    def _weights(self, documents: IntArray) -> IntArray:
        """Return how often each question's document is among the given ones."""
        return np.bincount(documents, minlength=int(self.document.max()) + 1)[self.document]

    def _count(self, chosen: BoolArray) -> IntArray:
        """Return how many of the chosen questions each document has."""
        return np.bincount(self.document, chosen).astype(np.int64)
