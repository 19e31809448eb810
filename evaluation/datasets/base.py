"""What every kind of data has in common: requests to send, and what the outcomes are worth."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.asking import Outcome
from evaluation.figures import Scores


@dataclass(frozen=True, slots=True)
class Item:
    """One request.

    Attributes:
        body: Of the request, without `model` and `timeout_ms`.
        document: Number of the document that it is about.
        line: Where it stands in the file.
    """

    body: Mapping[str, Any]
    document: int
    line: int


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

    @abstractmethod
    def score(self, outcomes: Sequence[Outcome]) -> Scores:
        """Compare outcomes with what is expected; what was refused counts as wrong.

        Args:
            outcomes: One for each item.
        """
