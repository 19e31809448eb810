"""Precision, recall and F1 of whole entities, as seqeval counts them.

An entity is right if its type, its beginning and its end are. Counts of all types together give the micro average;
the macro average is over the types that occur or are predicted. What nothing is known of is 0, as in seqeval.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

EntityT = TypeVar("EntityT", bound=Hashable)


@dataclass(frozen=True, slots=True)
class EntityCounts:
    """How many entities were right, predicted and expected."""

    right: int = 0
    predicted: int = 0
    expected: int = 0

    def __add__(self, other: "EntityCounts") -> "EntityCounts":
        return EntityCounts(self.right + other.right, self.predicted + other.predicted, self.expected + other.expected)

    @property
    def precision(self) -> float:
        return self.right / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        return self.right / self.expected if self.expected else 0.0

    @property
    def f1(self) -> float:
        involved = self.predicted + self.expected
        return 2 * self.right / involved if involved else 0.0


def count_entities(expected: set[tuple[str, EntityT]], predicted: set[tuple[str, EntityT]]) -> dict[str, EntityCounts]:
    """Count by type; an entity is its type and its place."""
    counts: defaultdict[str, EntityCounts] = defaultdict(EntityCounts)
    for label, _ in expected & predicted:
        counts[label] += EntityCounts(right=1)
    for label, _ in predicted:
        counts[label] += EntityCounts(predicted=1)
    for label, _ in expected:
        counts[label] += EntityCounts(expected=1)
    return dict(counts)


def add_up(parts: Iterable[Mapping[str, EntityCounts]]) -> dict[str, EntityCounts]:
    """Add the counts of several texts, type by type, the types in alphabetical order."""
    totals: defaultdict[str, EntityCounts] = defaultdict(EntityCounts)
    for part in parts:
        for label, counts in part.items():
            totals[label] += counts
    return dict(sorted(totals.items()))


def micro(counts: Mapping[str, EntityCounts]) -> EntityCounts:
    """Return the counts of all types together."""
    return sum(counts.values(), EntityCounts())


def macro_f1(counts: Mapping[str, EntityCounts]) -> float:
    """Return the mean F1 of the types; 0 if there is none."""
    return sum(entity.f1 for entity in counts.values()) / len(counts) if counts else 0.0
