"""What every kind of data has in common: requests to send, and what the outcomes are worth."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.asking import Outcome
from evaluation.connection import ModelInfo
from evaluation.figures import Scores


@dataclass(frozen=True, slots=True)
class Item:
    """One request.

    Attributes:
        body: Of the request, without `model` and `timeout_ms`.
        document: Number of the document that it is about.
        line: Where it stands in the file.
        id: What the file calls it; None where it has no names.
    """

    body: Mapping[str, Any]
    document: int
    line: int
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was expected of an item, and what came, as values that JSON has.

    Attributes:
        expected: What is right.
        answer: What the model said; None if the item was refused.
        right: Whether that is right; None where answers are not right or wrong.
        f1: By how much it overlaps with what is right, 0 to 1; None where that says nothing.
    """

    expected: Any
    answer: Any
    right: bool | None
    f1: float | None


class Dataset(ABC):
    """A file of one task.

    Args:
        path: The file.
        items: Its requests; every document from 0 up has at least one.
    """

    def __init__(self, path: Path, items: Sequence[Item]) -> None:
        self.path = path
        self.items = items
        self.documents = 1 + max(item.document for item in items)

    @property
    @abstractmethod
    def description(self) -> str:
        """What the file holds, in a few words."""

    def basis(self, model: ModelInfo) -> Mapping[str, Hashable]:
        """Return what two models must have in common to be compared on this file, each with what to say if not."""
        return {}

    def needed(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what is needed of the body of an answer; all answers are kept until the end."""
        return body

    @abstractmethod
    def score(self, outcomes: Sequence[Outcome]) -> Scores:
        """Compare outcomes with what is expected; what was refused counts as wrong.

        Args:
            outcomes: One for each item.
        """

    @abstractmethod
    def judge(self, outcomes: Sequence[Outcome]) -> Sequence[Judgement]:
        """Return what became of each item.

        Args:
            outcomes: One for each item.
        """
