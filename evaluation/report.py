"""What an evaluation found out, and its JSON."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.connection import ModelInfo
from evaluation.figures import Estimate
from evaluation.metrics.intervals import McNemar, Resampling


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of some documents.

    Attributes:
        low: Fewest tokens that the model read of one; None where their length is no condition.
        high: Most tokens; None where there is no bound.
        refused: Whether they are those that the service refused.
        documents: How many there are.
        figures: Their figures.
    """

    low: int | None
    high: int | None
    refused: bool
    documents: int
    figures: Sequence[Estimate]


@dataclass(frozen=True, slots=True)
class RefusedItem:
    """An item that the service did not take; `line` is where it stands in the file."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class ModelResult:
    """What one model achieved.

    Attributes:
        place: The bundle or the URL.
        model: What the service says about it.
        all: Figures of all documents.
        by_length: The same of the documents of each length.
        details: More figures of all documents.
        refused: What the service did not take; it counts as wrong.
        notes: What else is to be said, in sentences.
    """

    place: str
    model: ModelInfo
    all: Row
    by_length: Sequence[Row]
    details: Sequence[Estimate]
    refused: Sequence[RefusedItem]
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Comparison:
    """By how much the second model is higher, on the same documents.

    Attributes:
        all: Differences on all documents.
        by_length: The same by length; lengths are those that the first model read.
        mcnemar: Of the decisions that only one of the two made rightly; None where nothing is right or wrong.
        notes: What else is to be said, in sentences.
    """

    all: Row
    by_length: Sequence[Row]
    mcnemar: McNemar | None
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """An evaluation of one model or two.

    Attributes:
        task: The task.
        data: The file.
        description: What is in it.
        requests: How many items were sent.
        resampling: How intervals were made.
        version: Of bigbird-serve here; a server may have another.
        results: One or two.
        comparison: None for one.
        failure: Why the second model that was asked for has no result; None if nothing is missing.
    """

    task: str
    data: str
    description: str
    requests: int
    resampling: Resampling
    version: str
    results: Sequence[ModelResult]
    comparison: Comparison | None
    failure: str | None = None

    def json(self) -> dict[str, Any]:
        """Return what can be written as JSON; undefined figures and open bounds are null, infinite ones too."""
        content: dict[str, Any] = _without_nan(asdict(self))
        return content


def _without_nan(value: Any) -> Any:
    match value:
        case dict():
            return {name: _without_nan(member) for name, member in value.items()}
        case list() | tuple():
            return [_without_nan(member) for member in value]
        case float() if not math.isfinite(value):
            return None
    return value
