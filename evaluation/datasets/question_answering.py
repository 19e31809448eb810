"""SQuAD files: every question of a context, one request each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.asking import Answer, Outcome
from evaluation.data.squad import SquadExample, SquadVersion, read_squad
from evaluation.datasets.base import Dataset, Item
from evaluation.figures import Decisions, Figure, IntArray, Scores
from evaluation.metrics.intervals import Statistic
from evaluation.metrics.squad import best_threshold, exact_match, token_f1

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# Enough that the empty answer is nearly always among them.
_ALTERNATIVES = 20


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
            )
            for example in self._file.examples
        ]
        super().__init__(path, items)

    @property
    def description(self) -> str:
        return f"SQuAD {self._file.version}, {len(self.items)} questions about {self.documents} documents"

    def score(self, outcomes: Sequence[Outcome]) -> Scores:
        judged = [
            _judge(example, outcome, self._file.version)
            for example, outcome in zip(self._file.examples, outcomes, strict=True)
        ]
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
        return Scores(figures, Decisions(frozenset(range(len(judged))), right))


@dataclass(frozen=True, slots=True)
class _Judgement:
    """What the answer to a question is worth; of a refused one everything is 0.

    Attributes:
        exact: Exact match of the answer.
        f1: Its F1.
        empty: Whether it is that there is no answer.
        span_exact: Exact match of the best answer that is not empty.
        span_f1: Its F1.
        no_answer: By how much the empty answer scores above it.
    """

    exact: float = 0.0
    f1: float = 0.0
    empty: bool = False
    span_exact: float = 0.0
    span_f1: float = 0.0
    no_answer: float = -np.inf


def _judge(example: SquadExample, outcome: Outcome, version: SquadVersion) -> _Judgement:
    if not isinstance(outcome, Answer):
        return _Judgement()
    answers = [answer.text for answer in example.answers]
    prediction = outcome.body["answer"]
    alternatives = [(one["answer"], one["score"]) for one in outcome.body["alternatives"]]
    span, span_score = next((one for one in alternatives if one[0]), ("", 0.0))
    # An empty answer that is not among the alternatives scores less than all of them.
    empty_score = next((score for text, score in alternatives if not text), 0.0)
    return _Judgement(
        exact=exact_match(prediction, answers, version),
        f1=token_f1(prediction, answers, version),
        empty=not prediction,
        span_exact=exact_match(span, answers, version),
        span_f1=token_f1(span, answers, version),
        no_answer=empty_score - span_score,
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

    def with_best_threshold(self, judged: Sequence[_Judgement], impossible: BoolArray) -> list[Figure]:
        """Return the exact match and the F1 that the best threshold of the no-answer score would give."""
        no_answer = np.array([own.no_answer for own in judged])

        def figure(name: str, scores: FloatArray) -> Figure:
            def statistic(documents: IntArray) -> float:
                chosen = self._weights(documents) > 0
                return best_threshold(scores[chosen], no_answer[chosen], impossible[chosen]).score

            return Figure(name, statistic, self._count(np.ones_like(impossible)), detail=True, interval=False)

        return [
            figure("best exact match", np.array([own.span_exact for own in judged])),
            figure("best F1", np.array([own.span_f1 for own in judged])),
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
