"""An evaluation from beginning to end: find the models, read the data, ask, score, compare."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from bigbird_inference.version import service_version
from evaluation.asking import Asking
from evaluation.connection import Target
from evaluation.datasets.opening import DataSource
from evaluation.errors import EvaluationError
from evaluation.measuring import Measured, Prepared, measure, prepare
from evaluation.metrics.intervals import Resampling
from evaluation.report import Report
from evaluation.summary import comparison_of, result_of

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
class Evaluation:
    """The report, and what it was made from."""

    report: Report
    measured: Sequence[Measured]


def evaluate(source: DataSource, target: Target, against: Target | None, options: Options) -> Evaluation:
    """Evaluate a model, or two on the same data.

    Both models and the data are checked before the first request. If the second model then cannot be asked, what the
    first achieved is still reported.

    Args:
        source: The data.
        target: The model.
        against: The second model, or None.
        options: How to evaluate.

    Raises:
        DataError: The data cannot be used.
        EvaluationError: The first model cannot be asked, or a model does not fit the data or the other model.
    """
    return asyncio.run(_evaluate(source, [target] if against is None else [target, against], options))


async def _evaluate(source: DataSource, targets: Sequence[Target], options: Options) -> Evaluation:
    first, *others = await prepare(source, targets)
    measured, failure = [await _measure(first, source, options)], None
    for other in others:
        try:
            measured.append(await _measure(other, source, options))
        except (EvaluationError, OSError) as error:
            failure = str(error)
    return Evaluation(_report(source, measured, failure, options.resampling), measured)


async def _measure(prepared: Prepared, source: DataSource, options: Options) -> Measured:
    return await measure(prepared, f"/{source.task}", options.asking, options.edges)


def _report(source: DataSource, measured: Sequence[Measured], failure: str | None, resampling: Resampling) -> Report:
    first, *others = measured
    return Report(
        task=source.task,
        data=str(source.path),
        description=first.dataset.description,
        requests=len(first.dataset.items),
        resampling=resampling,
        version=service_version(),
        results=[result_of(one, resampling) for one in measured],
        comparison=comparison_of(first, others[0], resampling) if others else None,
        failure=failure,
    )
