"""An evaluation from beginning to end: find the model, read the data, ask, score, compare."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from evaluation.asking import Asking, Outcome, Refusal, ask_all
from evaluation.connection import ModelInfo, Target, connect, find_model
from evaluation.datasets.base import Dataset
from evaluation.datasets.opening import DataSource, open_dataset
from evaluation.errors import EvaluationError
from evaluation.figures import Decisions, Estimate, Scores, difference, estimate
from evaluation.lengths import LengthRange, by_length
from evaluation.metrics.intervals import Resampling
from evaluation.metrics.mcnemar import McNemar, exact_mcnemar
from evaluation.report import Comparison, ModelResult, RefusedItem, Report, Row
from service.version import service_version

DEFAULT_EDGES = (512, 1024, 2048, 4096, 8192)


@dataclass(frozen=True, slots=True)
class Options:
    """How to evaluate.

    Attributes:
        edges: Of the ranges of lengths, in tokens.
        asking: How the service is asked.
        resampling: How intervals are made.
    """

    edges: Sequence[int] = DEFAULT_EDGES
    asking: Asking = field(default_factory=Asking)
    resampling: Resampling = field(default_factory=Resampling)


@dataclass(frozen=True, slots=True)
class _Measured:
    """A model's outcomes and what they are worth."""

    target: Target
    model: ModelInfo
    dataset: Dataset
    outcomes: Sequence[Outcome]
    scores: Scores
    lengths: Sequence[LengthRange]


def evaluate(source: DataSource, target: Target, against: Target | None, options: Options) -> Report:
    """Evaluate a model, or two on the same data.

    Args:
        source: The data.
        target: The model.
        against: The second model, or None.
        options: How to evaluate.

    Raises:
        DataError: The data cannot be used.
        EvaluationError: A model cannot be asked, or does not fit the data or the other model.
    """
    return asyncio.run(_evaluate(source, target, against, options))


async def _evaluate(source: DataSource, target: Target, against: Target | None, options: Options) -> Report:
    first = await _measure(source, target, options)
    second = None if against is None else await _measure(source, against, options, like=first.model)
    measured = [first] if second is None else [first, second]
    return Report(
        task=source.task,
        data=str(source.path),
        description=first.dataset.description,
        requests=len(first.dataset.items),
        resampling=options.resampling,
        version=service_version(),
        results=[_result(one, options.resampling) for one in measured],
        comparison=None if second is None else _compare(first, second, options.resampling),
    )


async def _measure(source: DataSource, target: Target, options: Options, like: ModelInfo | None = None) -> _Measured:
    model = await find_model(target, source.task)
    if like is not None:
        _ensure_comparable(like, model)
    dataset = open_dataset(source, model)
    async with connect(target, model) as connection:
        bodies = [item.body for item in dataset.items]
        outcomes = await ask_all(connection, f"/{source.task}", bodies, options.asking)
    lengths = by_length(dataset, outcomes, options.edges)
    return _Measured(target, model, dataset, outcomes, dataset.score(outcomes), lengths)


def _ensure_comparable(first: ModelInfo, second: ModelInfo) -> None:
    if set(first.labels) != set(second.labels) or first.problem_type != second.problem_type:
        raise EvaluationError(f"{first.name} and {second.name} cannot be compared: their labels are not the same")


def _result(measured: _Measured, resampling: Resampling) -> ModelResult:
    figures = [figure for figure in measured.scores.figures if not figure.detail]
    details = [figure for figure in measured.scores.figures if figure.detail]
    everything = LengthRange(np.arange(measured.dataset.documents))

    def row(part: LengthRange) -> Row:
        return _row(part, [estimate(figure, part.documents, resampling) for figure in figures])

    return ModelResult(
        place=measured.target.place,
        model=measured.model,
        all=row(everything),
        by_length=[row(part) for part in measured.lengths],
        details=[estimate(figure, everything.documents, resampling) for figure in details],
        refused=[
            RefusedItem(item.line, outcome.reason)
            for item, outcome in zip(measured.dataset.items, measured.outcomes, strict=True)
            if isinstance(outcome, Refusal)
        ],
        notes=measured.scores.notes,
    )


def _compare(first: _Measured, second: _Measured, resampling: Resampling) -> Comparison:
    pairs = [
        (one, other) for one, other in zip(first.scores.figures, second.scores.figures, strict=True) if not one.detail
    ]

    def row(part: LengthRange) -> Row:
        return _row(part, [difference(one, other, part.documents, resampling) for one, other in pairs])

    return Comparison(
        all=row(LengthRange(np.arange(first.dataset.documents))),
        by_length=[row(part) for part in first.lengths],
        mcnemar=_test(first.scores.decisions, second.scores.decisions),
    )


def _row(part: LengthRange, figures: Sequence[Estimate]) -> Row:
    return Row(part.low, part.high, part.refused, len(part.documents), figures)


def _test(first: Decisions | None, second: Decisions | None) -> McNemar | None:
    """Compare the decisions that either model, or the data, knows of."""
    if first is None or second is None:
        return None
    known = first.expected | first.found | second.found
    return exact_mcnemar([first.right(one) for one in known], [second.right(one) for one in known])
