"""Pieces of text that know where the names and values inside them stand."""

from collections.abc import Iterable
from dataclasses import dataclass

from demo.amounts import preposition_of
from demo.cast import Subject
from demo.facts import FIELD, Label


@dataclass(frozen=True, slots=True)
class Mention:
    """A name or a value inside a text: which subject's, and which attribute (None: the subject itself)."""

    subject: Subject
    attribute: str | None
    start: int
    end: int

    @property
    def label(self) -> Label | None:
        """The entity label of what is mentioned; None where it is not an entity."""
        if self.attribute is None:
            return self.subject.kind.label
        return self.subject.kind.attributes[self.attribute].label

    def moved_by(self, offset: int) -> "Mention":
        """Return the same mention in a text that has ``offset`` more characters in front."""
        return Mention(self.subject, self.attribute, self.start + offset, self.end + offset)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, or several of them that belong together, and the mentions inside."""

    text: str
    mentions: tuple[Mention, ...] = ()


def named(subject: Subject, attribute: str | None = None) -> Sentence:
    """Return the bare name of a subject, or the bare value of one of its attributes."""
    text = subject.name if attribute is None else subject.values[attribute]
    return Sentence(text, (Mention(subject, attribute, 0, len(text)),))


def join(parts: Iterable[Sentence], separator: str) -> Sentence:
    """Put texts one behind the other."""
    text, mentions = "", []
    for index, part in enumerate(parts):
        text += separator if index else ""
        mentions += [mention.moved_by(len(text)) for mention in part.mentions]
        text += part.text
    return Sentence(text, tuple(mentions))


def render(phrase: str, subject: Subject) -> Sentence:
    """Fill the fields of a phrase and notes where the names and values came to stand."""
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
