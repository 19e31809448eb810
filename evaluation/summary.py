"""From what was measured to the parts of a report: all documents, each length, and two models side by side."""

from collections.abc import Sequence

import numpy as np

from evaluation.asking import Refusal
from evaluation.figures import (
    Decisions,
    Estimate,
    Figure,
    comparable_documents,
    difference,
    estimate,
    estimate_together,
)
from evaluation.lengths import LengthRange
from evaluation.measuring import Measured
from evaluation.metrics.intervals import McNemar, Resampling, exact_mcnemar
from evaluation.report import Comparison, ModelResult, RefusedItem, Row


def result_of(measured: Measured, resampling: Resampling) -> ModelResult:
    """Return what a model achieved, with intervals."""
    figures = [figure for figure in measured.scores.figures if not figure.detail]
    details = [figure for figure in measured.scores.figures if figure.detail]
    everything = LengthRange(np.arange(measured.dataset.documents))
    group = measured.scores.group
    together = [] if group is None else estimate_together(group, measured.dataset.documents, resampling)

    def row(part: LengthRange) -> Row:
        return _row(part, [estimate(figure, part.documents, resampling) for figure in figures])

    return ModelResult(
        place=measured.target.place,
        model=measured.model,
        all=row(everything),
        by_length=[row(part) for part in measured.lengths],
        details=[*(estimate(figure, everything.documents, resampling) for figure in details), *together],
        refused=[
            RefusedItem(item.line, outcome.reason)
            for item, outcome in zip(measured.dataset.items, measured.outcomes, strict=True)
            if isinstance(outcome, Refusal)
        ],
        notes=measured.scores.notes,
    )


def comparison_of(first: Measured, second: Measured, resampling: Resampling) -> Comparison:
    """Return by how much the second model is better than the first, on the same documents."""
    pairs = [
        (one, other) for one, other in zip(first.scores.figures, second.scores.figures, strict=True) if not one.detail
    ]

    def row(part: LengthRange) -> Row:
        return _row(part, [difference(one, other, part.documents, resampling) for one, other in pairs])

    return Comparison(
        all=row(LengthRange(np.arange(first.dataset.documents))),
        by_length=[row(part) for part in first.lengths],
        mcnemar=_test(first.scores.decisions, second.scores.decisions),
        notes=_left_out(pairs, first.dataset.documents),
    )


def _left_out(pairs: Sequence[tuple[Figure, Figure]], documents: int) -> list[str]:
    left_out = documents - min(len(comparable_documents(*pair, np.arange(documents))) for pair in pairs)
    return [f"{left_out} texts that not both models answered are left out of the differences."] if left_out else []


def _row(part: LengthRange, figures: Sequence[Estimate]) -> Row:
    return Row(part.low, part.high, part.refused, len(part.documents), figures)


def _test(first: Decisions | None, second: Decisions | None) -> McNemar | None:
    """Compare the decisions that either model, or the data, knows of."""
    if first is None or second is None:
        return None
    known = first.expected | first.found | second.found
    return exact_mcnemar([first.right(one) for one in known], [second.right(one) for one in known])
