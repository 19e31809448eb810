"""Texts with a label each, with several labels, or with a number."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.asking import Answer, Outcome
from evaluation.connection import ModelInfo
from evaluation.data.labelled_texts import Columns, LabelledText, Target, read_labelled_texts
from evaluation.data.source_text import Mistakes, unknown_label
from evaluation.datasets.base import Dataset, Item, Judgement
from evaluation.errors import EvaluationError
from evaluation.figures import Decisions, Figure, FigureGroup, IntArray, Scores
from evaluation.metrics.classification import (
    LabelCounts,
    accuracy,
    confusion_matrix,
    f1_by_label,
    label_numbers,
    macro_f1,
    matthews,
    mean_absolute_error,
    micro_f1,
    pearson,
    spearman,
)
from evaluation.metrics.intervals import FloatArray, WeightArray

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
        with Mistakes(file.path) as mistakes:
            rows = read_labelled_texts(
                file.path,
                self._target,
                columns=file.columns,
                header=file.header,
                separator=file.separator,
                mistakes=mistakes,
            )
            self._numbered = self._target != "number" and _is_numbered(rows, model.labels)
            self._rows = rows if self._target == "number" else _with_names(mistakes, rows, model.labels)
        super().__init__(
            file.path, [Item({**_texts(row), **fields}, number, row.line) for number, row in enumerate(self._rows)]
        )

    @property
    def description(self) -> str:
        kind = {"label": "a label", "labels": "any number of labels", "number": "a number"}[self._target]
        return f"{len(self._rows)} {'texts' if self._rows[0].pair is None else 'pairs of texts'} with {kind} each"

    def basis(self, model: ModelInfo) -> Mapping[str, Hashable]:
        target = target_of(model)
        return {
            "they do not predict the same kind of thing": target,
            "their labels are not the same": None if target == "number" else frozenset(model.labels),
            "the file gives labels by number, and they number them differently": model.labels
            if self._numbered
            else None,
        }

    def judge(self, outcomes: Sequence[Outcome]) -> Sequence[Judgement]:
        return [self._judge(row, outcome) for row, outcome in zip(self._rows, outcomes, strict=True)]

    def _judge(self, row: LabelledText, outcome: Outcome) -> Judgement:
        body = outcome.body if isinstance(outcome, Answer) else None
        if self._target == "number":
            return Judgement(row.number, None if body is None else body["score"], None, None)
        if self._target == "label":
            label = None if body is None else body["label"]
            return Judgement(row.label, label, label == row.label, None)
        expected, given = set(row.labels), _applying(outcome)
        involved = len(expected) + len(given)
        return Judgement(
            sorted(expected),
            None if body is None else sorted(given),
            body is not None and given == expected,
            2 * len(given & expected) / involved if involved else None,
        )

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
        ]
        right = frozenset(np.flatnonzero(expected == predicted).tolist())
        sets = np.eye(size + 1, dtype=np.bool_)[:, :size]
        return Scores(
            figures,
            Decisions(frozenset(range(len(self._rows))), right),
            group=_f1_of_each(self._labels, sets[expected], sets[predicted]),
        )

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
        ]
        return Scores(
            figures,
            Decisions(frozenset(range(len(self._rows))), frozenset(np.flatnonzero(right).tolist())),
            group=_f1_of_each(self._labels, expected, predicted),
        )

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

            return Figure(name, statistic, answered.astype(np.int64), needs_items=True)

        left_out = int((~answered).sum())
        notes = [f"{left_out} refused texts have no number and are left out of the figures."] if left_out else []
        return Scores([figure(name) for name in measures], None, notes)


def _f1_of_each(
    labels: Sequence[str], expected: npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_]
) -> FigureGroup:
    """Return each label's F1; what is expected and predicted is bool `[texts, labels]`."""

    def weighted(weights: WeightArray) -> FloatArray:
        totals = (weights @ which.astype(np.float32) for which in (expected & predicted, predicted, expected))
        return f1_by_label(LabelCounts(*(total.astype(np.int64) for total in totals)))

    return FigureGroup([f"F1 of {label}" for label in labels], weighted, expected.sum(axis=0))


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


def _is_numbered(rows: Sequence[LabelledText], names: Sequence[str]) -> bool:
    """Tell whether a file gives all labels as their numbers from 0, as GLUE does."""
    given = {label for row in rows for label in row.labels}
    return given <= {str(number) for number in range(len(names))} and not given <= set(names)


def _with_names(mistakes: Mistakes, rows: Sequence[LabelledText], names: Sequence[str]) -> list[LabelledText]:
    """Return the rows with the model's labels."""
    if _is_numbered(rows, names):
        return [replace(row, labels=tuple(names[int(label)] for label in row.labels)) for row in rows]
    for row in rows:
        for label in row.labels:
            if label not in names:
                mistakes.add(row.line, unknown_label(label, names))
    return list(rows)
