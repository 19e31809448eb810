"""Who and what a report is about: its subjects, with a value for every attribute that will be stated."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from demo.amounts import AmountSource
from demo.facts import Label, SubjectKind
from demo.kinds.remark import REMARK
from demo.kinds.stock import KINDS
from demo.names import NameSource

_TOKENS_OF_A_FACT = 15
_SHARE_OF_FACTS = 0.55
_SHARE_OF_THE_FIRST_KIND = 0.5
_MOST_FACTS_OF_A_SUBJECT = 5


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """Something with a name, and the values of those of its attributes that the report states."""

    kind: SubjectKind
    name: str
    values: dict[str, str]


class Cast:
    """Draws all that one report names, so that no two of its names or amounts can be mixed up."""

    def __init__(self, rng: random.Random) -> None:
        """Start with nothing drawn; ``rng`` is the source of all choices."""
        self._rng = rng
        self._names, self._amounts = NameSource(rng), AmountSource(rng)

    def subjects(self, count: int, tokens: int) -> list[Subject]:
        """Draws subjects of one to four kinds; those of one kind share attributes, so they can be taken for each other.

        Args:
            count: How many.
            tokens: About how long the report is, which decides how many facts each has.
        """
        rng = self._rng
        kinds = rng.sample(KINDS, _number_of_kinds(count))
        facts_each = round(tokens * _SHARE_OF_FACTS / _TOKENS_OF_A_FACT / count)
        facts_each = min(_MOST_FACTS_OF_A_SUBJECT, max(1, facts_each))
        order = {kind.name: rng.sample(list(kind.attributes), len(kind.attributes)) for kind in kinds}
        drawn = []
        for index in range(count):
            kind = kinds[0] if rng.random() < _SHARE_OF_THE_FIRST_KIND else kinds[index % len(kinds)]
            # What comes first in the order is what nearly all subjects of this kind have.
            shared = [order[kind.name][0]]
            shared += [name for name in order[kind.name][1:3] if rng.random() < 0.7]
            others = [name for name in order[kind.name] if name not in shared]
            facts = rng.randint(max(1, facts_each - 2), facts_each)
            chosen = [*shared, *rng.sample(others, len(others))][:facts]
            drawn.append(Subject(kind, self.name(kind), {name: self._value(kind, name) for name in chosen}))
        return drawn

    def remark(self, attributes: frozenset[str]) -> Subject:
        """Draws the names and amounts of a remark about nothing in particular."""
        return Subject(REMARK, "", {attribute: self._value(REMARK, attribute) for attribute in sorted(attributes)})

    def name(self, kind: SubjectKind) -> str:
        """Draws a name for a subject."""
        names = self._names
        draw = {
            "project": names.project,
            "organisation": names.organisation,
            "person": names.person,
            "building": names.building,
            "vessel": names.vessel,
        }[kind.name]
        return draw()

    def _value(self, kind: SubjectKind, attribute: str) -> str:
        stated = kind.attributes[attribute]
        names, amounts = self._names, self._amounts
        draw: dict[Label, Callable[[], str]] = {
            "PER": names.person,
            "ORG": names.organisation,
            "LOC": names.place,
            "DATE": partial(amounts.date, to_come=stated.is_to_come),
            "MONEY": amounts.money,
        }
        return draw[stated.label]()


def _number_of_kinds(count: int) -> int:
    if count < 4:
        return 1
    return 2 if count < 10 else 3 if count < 30 else 4
