"""What a report can state: kinds of subjects, their attributes, and the words for them.

A phrase has fields for names and values: ``{subject}``, ``{leader}``, ``{site}``. A date's field may ask for the
preposition that fits the date: ``{on start}`` becomes "on 12 May 2019" or "in 2019", ``{On start}`` the same at the
head of a sentence. ``{It}`` and ``{Its}`` refer back to a subject that the sentence before has named.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

Label = Literal["PER", "ORG", "LOC", "DATE", "MONEY"]

LABELS: tuple[Label, ...] = ("PER", "ORG", "LOC", "DATE", "MONEY")

FIELD = re.compile(r"\{(?:(on|On) )?(\w+)\}")


@dataclass(frozen=True, slots=True)
class Attribute:
    """Something that can be said about a subject.

    Attributes:
        label: The entity label of its values.
        titles: What it is called in lists and at the head of a column.
        statements: Sentences that state it of a named subject.
        continuations: Sentences that state it of the subject of the sentence before.
        questions: Sentences that ask for it.
        is_to_come: Whether its dates lie in the future.
    """

    label: Label
    titles: tuple[str, ...]
    statements: tuple[str, ...]
    continuations: tuple[str, ...]
    questions: tuple[str, ...]
    is_to_come: bool = False


@dataclass(frozen=True, slots=True)
class SubjectKind:
    """A kind of thing that reports state facts about.

    Attributes:
        name: "project", "organisation" and so on.
        heading: What a section or a column of such subjects is called.
        label: The entity label of the subject's own name; None where it is not an entity.
        it: The words that refer back to a subject, at the head of a sentence.
        its: The same for what belongs to it.
        attributes: What can be stated.
        pairs: Sentences that state two attributes of a named subject.
        mentions: Sentences that name the subject and state nothing that is ever asked.
        stated: Which attributes each of the statements and pairs gives away.
    """

    name: str
    heading: str
    label: Label | None
    it: str
    its: str
    attributes: dict[str, Attribute]
    pairs: tuple[str, ...]
    mentions: tuple[str, ...]
    stated: dict[str, frozenset[str]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Look up once which attributes each statement gives away."""
        singles = [phrase for attribute in self.attributes.values() for phrase in attribute.statements]
        fields = {phrase: {name for _, name in FIELD.findall(phrase)} for phrase in (*singles, *self.pairs)}
        object.__setattr__(self, "stated", {phrase: frozenset(names - {"subject"}) for phrase, names in fields.items()})
