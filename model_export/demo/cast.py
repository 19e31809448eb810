"""Who and what a report is about, and the sentences that say so.

The report's subjects are drawn first, with a value for every attribute that will be stated; then each of these facts is
put into a sentence that knows where in its text the names and values stand.
"""

import random
from dataclasses import dataclass

from model_export.demo.amounts import AmountSource, preposition_of
from model_export.demo.facts import FIELD, KINDS, Label, SubjectKind
from model_export.demo.grammar import choose
from model_export.demo.names import NameSource

_TOKENS_OF_A_FACT = 15
_SHARE_OF_FACTS = 0.55
_SHARE_OF_PAIRS = 0.35


@dataclass(frozen=True, slots=True)
class Subject:
    """Something with a name, and the values of those of its attributes that the report states."""

    kind: SubjectKind
    name: str
    values: dict[str, str]


@dataclass(frozen=True, slots=True)
class Mention:
    """A name or a value inside a sentence: which subject's, and which attribute (None: the subject itself)."""

    subject: Subject
    attribute: str | None
    start: int
    end: int

    @property
    def label(self) -> Label | None:
        """The entity label of what is mentioned; None where it is no entity."""
        if self.attribute is None:
            return self.subject.kind.label
        return self.subject.kind.attributes[self.attribute]

    def moved_by(self, offset: int) -> "Mention":
        """Gives the same mention in a text that has ``offset`` more characters in front."""
        return Mention(self.subject, self.attribute, self.start + offset, self.end + offset)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence and the mentions inside it."""

    text: str
    mentions: tuple[Mention, ...] = ()


def draw_subjects(count: int, tokens: int, rng: random.Random) -> list[Subject]:
    """Draws subjects of one or two kinds; those of one kind share at least one attribute, so they can be mixed up."""
    names, amounts = NameSource(rng), AmountSource(rng)
    kinds = rng.sample(KINDS, 2 if count >= 4 else 1)
    facts_each = min(4, max(1, round(tokens * _SHARE_OF_FACTS / _TOKENS_OF_A_FACT / count)))
    shared = {kind.name: rng.choice(list(kind.attributes)) for kind in kinds}
    cast = []
    for index in range(count):
        kind = kinds[index % len(kinds)]
        others = [attribute for attribute in kind.attributes if attribute != shared[kind.name]]
        extra = rng.randint(max(0, facts_each - 2), facts_each - 1)
        chosen = [shared[kind.name], *rng.sample(others, extra)]
        values = {attribute: _draw_value(kind.attributes[attribute], names, amounts) for attribute in chosen}
        cast.append(Subject(kind, _draw_name(kind, names), values))
    return cast


def _draw_name(kind: SubjectKind, names: NameSource) -> str:
    return {"project": names.project, "organisation": names.organisation, "person": names.person}[kind.name]()


def _draw_value(label: Label, names: NameSource, amounts: AmountSource) -> str:
    draw = {
        "PER": names.person,
        "ORG": names.organisation,
        "LOC": names.place,
        "DATE": amounts.date,
        "MONEY": amounts.money,
    }[label]
    return draw()


def state_facts(subject: Subject, rng: random.Random) -> list[Sentence]:
    """States every fact about a subject exactly once, in sentences of one or two facts."""
    unstated = set(subject.values)
    sentences = []
    while unstated:
        fitting = [phrase for phrase, stated in subject.kind.stated.items() if stated <= unstated]
        pairs = [phrase for phrase in fitting if len(subject.kind.stated[phrase]) == 2]
        singles = [phrase for phrase in fitting if len(subject.kind.stated[phrase]) == 1]
        phrase = rng.choice(pairs if pairs and rng.random() < _SHARE_OF_PAIRS else singles)
        unstated -= subject.kind.stated[phrase]
        sentences.append(render(choose(phrase, rng), subject))
    return sentences


def render(phrase: str, subject: Subject) -> Sentence:
    """Fills the fields of a phrase and notes where the names and values came to stand."""
    text, mentions, position = "", [], 0
    for match in FIELD.finditer(phrase):
        text += phrase[position : match.start()]
        position = match.end()
        preposition, attribute = match.group(1), match.group(2)
        is_subject = attribute == "subject"
        value = subject.name if is_subject else subject.values[attribute]
        if preposition:
            fitting = preposition_of(value)
            text += f"{fitting if preposition == 'on' else fitting.capitalize()} "
        mentions.append(Mention(subject, None if is_subject else attribute, len(text), len(text) + len(value)))
        text += value
        if value.endswith(".") and phrase.startswith(".", position):
            position += 1  # "Kestrel Inc." at the end of a sentence
    return Sentence(text + phrase[position:], tuple(mentions))
