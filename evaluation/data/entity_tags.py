"""What a sequence of entity tags means, whole or broken: what the service would take it to mean.

A tag is `O`, or a type, most often with a position before it: `B-PER`. `LabelScheme`, which reads the labels of a model
that is served, reads the tags of a file: IOB1, BIO, BIOES and its other spelling BILOU, and types alone. An entity goes
on with `I`, `E` or `L` after `B` or `I` of the same type, or with the same type alone; everything else but `O` begins
one. Of tags with positions this is also the rule of the CoNLL shared tasks' script (conlleval) and of seqeval. Broken
tags (an `I` after `O`, or after another type) have the meaning of a beginning, so nothing is lost.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bigbird_inference.tasks.label_scheme import OUTSIDE, POSITION_PREFIX, LabelScheme, unread_positions

TaggingScheme = Literal["IOB1", "BIO", "BIOES", "BILOU", "plain"]

_POSITIONS: dict[TaggingScheme, str] = {"IOB1": "BI", "BIO": "BI", "BIOES": "BIES", "BILOU": "BILU", "plain": ""}
_WITHOUT_TYPE = re.compile(r"[BIELSU]-")


@dataclass(frozen=True, slots=True)
class TagReading:
    """How the tags of a file are read.

    Attributes:
        scheme: What each tag means.
        unread: The tags that are not in it: neither a position and a type, nor a type where no tag has a position.
    """

    scheme: LabelScheme
    unread: frozenset[str]

    def type_of(self, tag: str) -> str:
        """Return the entity type of a tag that is read, `O` outside of entities."""
        return self.scheme.entities[int(self.scheme.entity_of[self.scheme.labels.index(tag)])]


@dataclass(frozen=True, slots=True)
class TagSpan:
    """Words `[first, stop)` are an entity."""

    label: str
    first: int
    stop: int


def read_tags(tags: Iterable[str], labels: Sequence[str] = ()) -> TagReading:
    """Find out what the tags of a file mean.

    Args:
        tags: All that occur.
        labels: Of the model that the file is for. If it has all these tags, they mean what they mean there.
    """
    given = sorted({*tags} - {OUTSIDE})
    if {*given} <= {*labels}:
        return TagReading(_scheme_of(labels), frozenset())
    unread = {tag for tag in given if not POSITION_PREFIX.match(tag)}
    if not any(LabelScheme.of(given).positions):
        unread = {*unread_positions(given), *filter(_WITHOUT_TYPE.fullmatch, given)}
    return TagReading(_scheme_of([tag for tag in given if tag not in unread]), frozenset(unread))


def entity_types(labels: Sequence[str]) -> list[str]:
    """Return the types of a model's labels, in their order."""
    return [entity for entity in LabelScheme.of(labels).entities if entity != OUTSIDE]


def spans_of_tags(tags: Sequence[str], scheme: LabelScheme) -> list[TagSpan]:
    """Return the entities of a sequence of tags, in its order."""
    marks = _marks(tags, scheme)
    firsts = [index for index, mark in enumerate(marks) if mark.begins]
    return [
        TagSpan(marks[first].entity, first, stop)
        for first, stop in zip(firsts, [*firsts[1:], len(tags)], strict=True)
        if marks[first].entity != OUTSIDE
    ]


def detect_scheme(sequences: Iterable[Sequence[str]], scheme: LabelScheme) -> TaggingScheme:
    """Return the name of the scheme in which most is as it should be; of equally good ones BIO."""
    positions: set[str] = set()
    begins_without_need = begins_with_inside = 0
    for tags in sequences:
        for before, mark, _ in _neighbours(tags, scheme):
            if mark.entity != OUTSIDE:
                positions.add(mark.position)
                begins_without_need += mark.position == "B" and before.entity != mark.entity
                begins_with_inside += mark.position == "I" and mark.begins
    if positions & {"L", "U"}:
        return "BILOU"
    if positions & {"E", "S"}:
        return "BIOES"
    if positions == {""}:
        return "plain"
    return "IOB1" if begins_with_inside > begins_without_need else "BIO"


def violations(tags: Sequence[str | None], name: TaggingScheme, scheme: LabelScheme) -> Iterator[tuple[int, str]]:
    """Yield the numbers of the tags that are not as they should be, and what is wrong with them.

    Args:
        tags: Those of a sentence; None for one that cannot be read, beside which nothing is checked.
        name: The scheme that they should follow.
        scheme: How they are read.
    """
    around = [OUTSIDE, *tags, OUTSIDE]
    neighbours = _neighbours([OUTSIDE if tag is None else tag for tag in tags], scheme)
    for index, (before, tag, after, marks) in enumerate(zip(around, tags, around[2:], neighbours, strict=False)):
        if before is not None and tag not in (None, OUTSIDE) and after is not None:
            problem = _violation(before, after, marks, name)
            if problem is not None:
                yield index, problem


@dataclass(frozen=True, slots=True)
class _Mark:
    """What a tag means in its place: position, type, and whether something begins with it."""

    position: str
    entity: str
    begins: bool


def _scheme_of(labels: Sequence[str]) -> LabelScheme:
    return LabelScheme.of(list(dict.fromkeys([OUTSIDE, *labels])))


def _marks(tags: Sequence[str], scheme: LabelScheme) -> list[_Mark]:
    number_of = {label: number for number, label in enumerate(scheme.labels)}
    numbers = np.array([number_of[tag] for tag in tags], dtype=np.int64)
    return [
        _Mark(scheme.positions[number], scheme.entities[entity], begins)
        for number, entity, begins in zip(
            numbers.tolist(), scheme.entity_of[numbers].tolist(), scheme.begins(numbers).tolist(), strict=True
        )
    ]


def _neighbours(tags: Sequence[str], scheme: LabelScheme) -> Iterator[tuple[_Mark, _Mark, _Mark]]:
    """Yield each tag between the one before and the one after it, `O` at the ends."""
    marks = _marks([OUTSIDE, *tags, OUTSIDE], scheme)
    yield from zip(marks[:-2], marks[1:-1], marks[2:], strict=True)


def _violation(before: str, after: str, marks: tuple[_Mark, _Mark, _Mark], name: TaggingScheme) -> str | None:
    """Return what is wrong with a tag between these two."""
    previous, mark, following = marks
    if mark.position not in _POSITIONS[name] or bool(mark.position) != bool(_POSITIONS[name]):
        return f"{name} has no {mark.position}-" if mark.position else f"{name} has a position before the type"
    if name == "IOB1":
        needless = mark.position == "B" and previous.entity != mark.entity
        return "IOB1 uses B- only between neighbours of one type" if needless else None
    if name == "plain":
        return None
    if mark.position in "IEL" and mark.begins:
        return f"no entity of its type is open after {before}"
    if name != "BIO" and mark.position in "BI" and following.begins:
        return f"its entity has no {'E' if name == 'BIOES' else 'L'}- before {after}"
    return None
