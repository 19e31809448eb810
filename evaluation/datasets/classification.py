"""Texts with a label each, with several labels, or with a number."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.asking import Answer, Outcome
from evaluation.connection import ModelInfo
from evaluation.data.errors import DataError
from evaluation.data.labelled_texts import Columns, LabelledText, Target, read_labelled_texts
from evaluation.datasets.base import Dataset, Item
from evaluation.errors import EvaluationError
from evaluation.figures import Decisions, Figure, IntArray, Scores
from evaluation.metrics.classification import (
    LabelCounts,
    accuracy,
    confusion_matrix,
    f1_by_label,
    label_numbers,
    macro_f1,
    matthews,
    micro_f1,
)
from evaluation.metrics.regression import mean_absolute_error, pearson, spearman

# A label of a multi-label model applies from this probability up.
_APPLIES = 0.5


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """How to read a file of labelled texts; see `read_labelled_texts`."""

    path: Path
    columns: Columns
    header: bool = True
    separator: str = ","


class Classification(Dataset):
    """What a text's label should be, by the kind of model: one label, several, or a number.

    Args:
        file: The file and how to read it.
        model: Tells what is predicted, and which labels there are.
        fields: More fields of the requests.

    Raises:
        DataError: The file cannot be read, or has a label that the model does not have.
        EvaluationError: The model gives several numbers.
    """

    def __init__(self, file: LabelledFile, model: ModelInfo, fields: Mapping[str, Any]) -> None:
        self._target = target_of(model)
        self._labels = model.labels
        rows = read_labelled_texts(
            file.path, self._target, columns=file.columns, header=file.header, separator=file.separator
        )
        self._rows = rows if self._target == "number" else _with_names(file.path, rows, model.labels)
        super().__init__(
            file.path, [Item({**_texts(row), **fields}, number, row.line) for number, row in enumerate(rows)]
        )

    @property
    def description(self) -> str:
        kind = {"label": "a label", "labels": "any number of labels", "number": "a number"}[self._target]
        return f"{len(self._rows)} {'texts' if self._rows[0].pair is None else 'pairs of texts'} with {kind} each"

    def score(self, outcomes: Sequence[Outcome]) -> Scores:
        match self._target:
            case "number":
                return self._score_numbers(outcomes)
            case "labels":
                return self._score_sets(outcomes)
            case "label":
                return self._score_labels(outcomes)

    def _score_labels(self, outcomes: Sequence[Outcome]) -> Scores:
        size = len(self._labels)
        given = [outcome.body["label"] if isinstance(outcome, Answer) else None for outcome in outcomes]
        expected = label_numbers(self._labels, [row.label for row in self._rows])
        predicted = label_numbers(self._labels, given)

        def confusion(documents: IntArray) -> IntArray:
            return confusion_matrix(expected[documents], predicted[documents], size)

        def counts(documents: IntArray) -> LabelCounts:
            return LabelCounts.of_confusion(confusion(documents))

        each = np.ones(len(self._rows), dtype=np.int64)
        figures = [
            Figure("accuracy", lambda documents: accuracy(confusion(documents)), each, share=True),
            Figure("macro F1", lambda documents: macro_f1(counts(documents)), each),
            Figure("Matthews correlation", lambda documents: matthews(confusion(documents)), each),
            *self._figures_by_label(counts, np.eye(size + 1, dtype=np.bool_)[expected][:, :size]),
        ]
        right = frozenset(np.flatnonzero(expected == predicted).tolist())
        return Scores(figures, Decisions(frozenset(range(len(self._rows))), right))

    def _score_sets(self, outcomes: Sequence[Outcome]) -> Scores:
        expected = np.array([[label in row.labels for label in self._labels] for row in self._rows], dtype=np.bool_)
        predicted = np.array([[label in given for label in self._labels] for given in map(_applying, outcomes)])
        refused = np.array([not isinstance(outcome, Answer) for outcome in outcomes])
        right = (expected == predicted).all(axis=1) & ~refused

        def counts(documents: IntArray) -> LabelCounts:
            return LabelCounts.of_sets(expected[documents], predicted[documents])

        each = np.ones(len(self._rows), dtype=np.int64)
        figures = [
            Figure("exact set of labels", lambda documents: float(right[documents].mean()), each, share=True),
            Figure("micro F1", lambda documents: micro_f1(counts(documents)), each),
            Figure("macro F1", lambda documents: macro_f1(counts(documents)), each),
            *self._figures_by_label(counts, expected),
        ]
        return Scores(figures, Decisions(frozenset(range(len(self._rows))), frozenset(np.flatnonzero(right).tolist())))

    def _score_numbers(self, outcomes: Sequence[Outcome]) -> Scores:
        answered = np.array([isinstance(outcome, Answer) for outcome in outcomes])
        expected = np.array([row.number for row in self._rows], dtype=np.float64)
        predicted = np.array(
            [outcome.body["score"] if isinstance(outcome, Answer) else 0.0 for outcome in outcomes], dtype=np.float64
        )
        measures = {"Pearson": pearson, "Spearman": spearman, "mean absolute error": mean_absolute_error}

        def figure(name: str) -> Figure:
            def statistic(documents: IntArray) -> float:
                documents = documents[answered[documents]]
                return measures[name](expected[documents], predicted[documents])

            return Figure(name, statistic, answered.astype(np.int64))

        left_out = int((~answered).sum())
        notes = [f"{left_out} refused texts have no number and are left out of the figures."] if left_out else []
        return Scores([figure(name) for name in measures], None, notes)

    def _figures_by_label(
        self, counts: Callable[[IntArray], LabelCounts], expected: npt.NDArray[np.bool_]
    ) -> list[Figure]:
        """Return each label's F1; `expected` tells which labels each text has."""

        def figure(number: int, label: str) -> Figure:
            def statistic(documents: IntArray) -> float:
                return float(f1_by_label(counts(documents))[number])

            return Figure(f"F1 of {label}", statistic, expected[:, number].astype(np.int64), detail=True)

        return [figure(number, label) for number, label in enumerate(self._labels)]


def target_of(model: ModelInfo) -> Target:
    """Return what a model predicts.

    Raises:
        EvaluationError: It gives several numbers.
    """
    if model.problem_type == "regression":
        if len(model.labels) > 1:
            raise EvaluationError(f"{model.name} gives {len(model.labels)} numbers; only one can be evaluated")
        return "number"
    return "labels" if model.problem_type == "multi_label_classification" or len(model.labels) == 1 else "label"


def _texts(row: LabelledText) -> dict[str, str]:
    return {"text": row.text} if row.pair is None else {"text": row.text, "text_pair": row.pair}


def _applying(outcome: Outcome) -> set[str]:
    if not isinstance(outcome, Answer):
        return set()
    return {label["label"] for label in outcome.body["labels"] if label["score"] >= _APPLIES}


def _with_names(path: Path, rows: Sequence[LabelledText], names: Sequence[str]) -> list[LabelledText]:
    """Return the rows with the model's labels; a file may give all of them as their numbers from 0, as GLUE does."""
    given = {label for row in rows for label in row.labels}
    numbers = {str(number): name for number, name in enumerate(names)}
    if given <= numbers.keys() and not given <= set(names):
        return [replace(row, labels=tuple(numbers[label] for label in row.labels)) for row in rows]
    for row in rows:
        for label in row.labels:
            if label not in names:
                known = ", ".join(names)
                raise DataError(path, row.line, f"unknown label {label!r}; the model's labels are: {known}")
    return list(rows)
