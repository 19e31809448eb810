"""Demo reports with everything the three tasks need to know about them.

One report serves all three demo tasks: its type is the label to predict, its entities are the ones to find, and its
questions have answers that are exactly one entity each. Every fact is stated once, every entity's text that answers a
question occurs once, and other subjects with the same attributes stand beside the one that is asked about.

A report depends on its arguments alone. Training uses seeds below `FIRST_EVALUATION_SEED`, evaluation the others.
"""

import random
import re
from dataclasses import dataclass

from model_export.demo.cast import Mention, Sentence, Subject, draw_subjects, render, state_facts
from model_export.demo.facts import Label
from model_export.demo.grammar import choose
from model_export.demo.prose import HEADINGS, NEUTRAL_SENTENCES, REPORT_TYPES, TYPED_SENTENCES
from model_export.demo.questions import ask

FIRST_EVALUATION_SEED = 1_000_000_000

Span = tuple[int, int]

_SHORTEST = 50
_WORD_OR_SIGN = re.compile(r"\d|[^\W\d]+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Entity:
    """A mention of an entity; ``text[start:end]`` of the report is the mention."""

    label: Label
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a report.

    Attributes:
        text: The question.
        answer: The answer's text.
        start: Where the answer starts in the report, in code points.
        end: Where it ends.
        attribute: What is asked, such as "leader".
        subject_mentions: Start and end of every mention of the subject that is asked about.
    """

    text: str
    answer: str
    start: int
    end: int
    attribute: str
    subject_mentions: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """A report, its type, the entities it mentions in order, and a question for each fact it states."""

    text: str
    report_type: str
    entities: tuple[Entity, ...]
    questions: tuple[Question, ...]


def approximate_tokens(text: str) -> int:
    """Estimates how many tokens the demo vocabulary makes of a text: one for each word, digit and sign."""
    return len(_WORD_OR_SIGN.findall(text))


def generate_report(
    seed: int,
    tokens: int,
    *,
    subjects: int | None = None,
    report_type: str | None = None,
) -> Report:
    """Writes the report that belongs to a seed.

    Args:
        seed: The report's number; the same arguments give the same report.
        tokens: About how many tokens the report has, at least 50.
        subjects: About how many subjects facts are stated; by default more in longer reports, up to seven.
        report_type: One of `REPORT_TYPES`; drawn by default.

    Raises:
        ValueError: The report is asked to be shorter than 50 tokens.
    """
    if tokens < _SHORTEST:
        raise ValueError(f"a report has at least {_SHORTEST} tokens, not {tokens}")
    rng = random.Random(f"{seed}/{tokens}")
    drawn_type = rng.choice(REPORT_TYPES)
    kind_of_report = report_type or drawn_type
    count = subjects or _number_of_subjects(tokens, rng)
    cast = draw_subjects(count, tokens, rng)
    sentences = [sentence for subject in cast for sentence in state_facts(subject, rng)]
    sentences += _fill(kind_of_report, cast, tokens, sentences, rng)
    rng.shuffle(sentences)
    return _lay_out(sentences, kind_of_report, tokens, rng)


def _number_of_subjects(tokens: int, rng: random.Random) -> int:
    if tokens < 130:
        return 2
    return min(7, max(2, 2 + tokens // 200 + rng.randint(-1, 1)))


def _fill(
    report_type: str, cast: list[Subject], tokens: int, stated: list[Sentence], rng: random.Random
) -> list[Sentence]:
    """Adds sentences without facts until the report has its length; about half of them give away its type."""
    missing = tokens - sum(approximate_tokens(sentence.text) for sentence in stated)
    missing -= tokens // 80  # headings
    sentences: list[Sentence] = []
    foreign_type = rng.choice([name for name in REPORT_TYPES if name != report_type])
    decks: dict[str, list[str]] = {}
    while missing > 5 or len(sentences) < 2:
        position = len(sentences)
        if position == 5 or (position > 5 and rng.random() < 0.06):
            subject = rng.choice(cast)
            sentence = render(choose(rng.choice(subject.kind.mentions), rng), subject)
        else:
            typed = position < 2 or rng.random() < 0.5
            source = (foreign_type if position % 7 == 4 else report_type) if typed else "neutral"
            if not decks.get(source):
                phrases = TYPED_SENTENCES[source] if typed else NEUTRAL_SENTENCES
                decks[source] = rng.sample(phrases, len(phrases))
            sentence = Sentence(choose(decks[source].pop(), rng))
        sentences.append(sentence)
        missing -= approximate_tokens(sentence.text)
    return sentences


def _lay_out(sentences: list[Sentence], report_type: str, tokens: int, rng: random.Random) -> Report:
    """Joins sentences to paragraphs, puts headings over some of them, and moves every mention to its final place."""
    text = ""
    placed: list[Mention] = []
    headings = rng.sample(HEADINGS, len(HEADINGS)) if tokens >= 120 else []
    position = 0
    while position < len(sentences):
        if text:
            text += "\n\n"
        if headings and rng.random() < 0.5:
            text += f"{headings.pop()}\n"
        paragraph = sentences[position : position + rng.randint(3, 6)]
        position += len(paragraph)
        for index, sentence in enumerate(paragraph):
            text += " " if index else ""
            placed += [mention.moved_by(len(text)) for mention in sentence.mentions]
            text += sentence.text
    entities = [Entity(mention.label, mention.start, mention.end) for mention in placed if mention.label is not None]
    return Report(text, report_type, tuple(entities), _questions(text, placed, rng))


def _questions(text: str, placed: list[Mention], rng: random.Random) -> tuple[Question, ...]:
    questions = []
    for mention in placed:
        if mention.attribute is None:
            continue
        subject = mention.subject
        own = [other for other in placed if other.subject is subject and other.attribute is None]
        questions.append(
            Question(
                text=ask(subject.kind, mention.attribute, subject.name, rng),
                answer=text[mention.start : mention.end],
                start=mention.start,
                end=mention.end,
                attribute=mention.attribute,
                subject_mentions=tuple((other.start, other.end) for other in own),
            )
        )
    return tuple(questions)
