"""A model and a file: checked beforehand without a request, then asked and scored."""

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.asking import Asking, Outcome, Refusal, ask_all
from evaluation.connection import ModelInfo, Target, connect, find_model
from evaluation.datasets.base import Dataset
from evaluation.datasets.opening import DataSource, open_dataset
from evaluation.errors import EvaluationError
from evaluation.figures import Scores
from evaluation.lengths import LengthRange, by_length


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model that is there, and the file as it is asked about."""

    target: Target
    model: ModelInfo
    dataset: Dataset


@dataclass(frozen=True, slots=True)
class Measured:
    """A model's outcomes, one for each item of the data, and what they are worth."""

    target: Target
    model: ModelInfo
    dataset: Dataset
    outcomes: Sequence[Outcome]
    scores: Scores
    lengths: Sequence[LengthRange]


async def prepare(source: DataSource, targets: Sequence[Target]) -> list[Prepared]:
    """Find every model and read the file, before anything is loaded or asked.

    Args:
        source: The data.
        targets: One model, or two that are to be compared.

    Raises:
        DataError: The data cannot be used.
        EvaluationError: A model is not there, or does not fit the data or the other model.
    """
    models = [await find_model(target, source.task) for target in targets]
    first = open_dataset(source, models[0])
    for model in models[1:]:
        _ensure_comparable(first, models[0], model)
    datasets = [first, *(open_dataset(source, model) for model in models[1:])]
    return [Prepared(*each) for each in zip(targets, models, datasets, strict=True)]


def _ensure_comparable(dataset: Dataset, first: ModelInfo, second: ModelInfo) -> None:
    own, other = dataset.basis(first), dataset.basis(second)
    for problem, basis in own.items():
        if basis != other[problem]:
            raise EvaluationError(f"{first.name} and {second.name} cannot be compared: {problem}")


async def measure(prepared: Prepared, path: str, asking: Asking, edges: Sequence[int]) -> Measured:
    """Ask a model about every item.

    Args:
        prepared: The model and the data.
        path: Of the task.
        asking: How the service is asked.
        edges: Of the ranges of lengths, in tokens.

    Raises:
        EvaluationError: The model cannot be asked, or refuses everything.
    """
    target, model, dataset = prepared.target, prepared.model, prepared.dataset
    async with connect(target, model) as connection:
        outcomes = await ask_all(connection, path, [item.body for item in dataset.items], asking, dataset.needed)
    refusals = [outcome.reason for outcome in outcomes if isinstance(outcome, Refusal)]
    if len(refusals) == len(outcomes):
        raise EvaluationError(f"{target.place}: nothing was answered; the first of {len(refusals)}: {refusals[0]}")
    lengths = by_length(dataset, outcomes, edges)
    return Measured(target, model, dataset, outcomes, dataset.score(outcomes), lengths)
