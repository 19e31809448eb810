"""The forms in which a report states the facts about its subjects: sentences, fact sheets, list items and tables.

Every fact is stated once. Where the subject is not named beside it, it was named in the sentence before, above the
lines, or at the head of the row.
"""

import random

from demo.cast import Subject
from demo.facts import SubjectKind
from demo.grammar import choose
from demo.sentences import Sentence, join, named, render

_SHARE_OF_PAIRS = 0.3
_SHARE_OF_CONTINUATIONS = 0.3
_MOST_CONTINUATIONS = 2


def state_facts(subject: Subject, attributes: set[str], rng: random.Random, *, plain: bool = False) -> list[Sentence]:
    """States each attribute once, in sentences that name the subject or follow one that does.

    Args:
        subject: Whose attributes.
        attributes: Which of them.
        rng: The source of all choices.
        plain: Whether every sentence names the subject.

    Returns:
        Texts of one to three sentences each, which may stand anywhere.
    """
    unstated = set(attributes)
    texts = []
    while unstated:
        phrase = _naming_phrase(subject.kind, unstated, rng)
        unstated -= subject.kind.stated[phrase]
        sentences = [render(choose(phrase, rng), subject)]
        may_continue = not plain and not _names_another(subject.kind, phrase)
        while unstated and may_continue and len(sentences) <= _MOST_CONTINUATIONS:
            if rng.random() >= _SHARE_OF_CONTINUATIONS:
                break
            attribute = rng.choice(sorted(unstated))
            unstated.discard(attribute)
            sentences.append(_continuation(subject, attribute, rng))
        texts.append(join(sentences, " "))
    return texts


def _naming_phrase(kind: SubjectKind, unstated: set[str], rng: random.Random) -> str:
    fitting = [phrase for phrase, stated in kind.stated.items() if stated <= unstated]
    pairs = [phrase for phrase in fitting if len(kind.stated[phrase]) == 2]
    singles = [phrase for phrase in fitting if len(kind.stated[phrase]) == 1]
    return rng.choice(pairs if pairs and rng.random() < _SHARE_OF_PAIRS else singles)


def _names_another(kind: SubjectKind, phrase: str) -> bool:
    """Tells whether "it" could be somebody else: the phrase names an entity that is labelled like its subject."""
    return any(kind.attributes[name].label == kind.label for name in kind.stated[phrase])


def _continuation(subject: Subject, attribute: str, rng: random.Random) -> Sentence:
    phrase = rng.choice(subject.kind.attributes[attribute].continuations)
    phrase = phrase.replace("{It}", subject.kind.it).replace("{Its}", subject.kind.its)
    return render(choose(phrase, rng), subject)


def fact_sheet(subject: Subject, attributes: list[str], rng: random.Random) -> Sentence:
    """Write the subject's name on a line of its own and each attribute on a line below."""
    return join([named(subject), *(_titled(subject, name, rng) for name in attributes)], "\n")


def list_item(subject: Subject, attributes: list[str], rng: random.Random) -> Sentence:
    """Write the subject and its attributes on one line."""
    facts = [_titled(subject, name, rng, capital=False) for name in attributes]
    return join([named(subject), join(facts, "; ")], ": ")


def _titled(subject: Subject, attribute: str, rng: random.Random, *, capital: bool = True) -> Sentence:
    title = rng.choice(subject.kind.attributes[attribute].titles)
    return join([Sentence(title if capital else title.lower()), named(subject, attribute)], ": " if capital else " ")


def table(kind: SubjectKind, subjects: list[Subject], attributes: list[str], rng: random.Random) -> Sentence:
    """Write a table with a row for each subject and a column for each attribute."""
    titles = [kind.heading, *(rng.choice(kind.attributes[name].titles) for name in attributes)]
    rows = [join([Sentence(title) for title in titles], " | ")]
    rows += [join([named(subject), *(named(subject, name) for name in attributes)], " | ") for subject in subjects]
    return join([join([Sentence("|"), row, Sentence("|")], " ") for row in rows], "\n")
