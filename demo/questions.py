"""The questions about a report: one for each fact it states, and some that it does not answer."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from demo.cast import Cast, Subject
from demo.facts import SubjectKind
from demo.grammar import choose
from demo.kinds.remark import REMARK
from demo.sentences import Mention

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a report.

    Attributes:
        text: The question.
        answer: The answer's text; empty if the report does not answer the question.
        start: Where the answer starts in the report, in code points.
        end: Where it ends.
        attribute: What is asked, such as "leader".
        subject_mentions: Start and end of every mention of the subject that is asked about.
        subject_values: Start and end of everything the report states about that subject.
        attribute_values: Start and end of what is asked, of every subject of that kind.
    """

    text: str
    answer: str
    start: int
    end: int
    attribute: str
    subject_mentions: tuple[Span, ...]
    subject_values: tuple[Span, ...]
    attribute_values: tuple[Span, ...]

    @property
    def is_answered(self) -> bool:
        """Whether the report answers the question."""
        return self.end > self.start


def ask(kind: SubjectKind, attribute: str, subject: str, rng: random.Random) -> str:
    """Words a question for one attribute of one subject."""
    phrase = choose(rng.choice(kind.attributes[attribute].questions), rng)
    return phrase.replace("{subject}", subject)


def answered_questions(text: str, mentions: Sequence[Mention], rng: random.Random) -> tuple[Question, ...]:
    """Asks for every fact that is stated, in the order of the text."""
    questions = []
    for mention in mentions:
        if mention.attribute is None or mention.subject.kind is REMARK:
            continue
        subject = mention.subject
        questions.append(
            Question(
                text=ask(subject.kind, mention.attribute, subject.name, rng),
                answer=text[mention.start : mention.end],
                start=mention.start,
                end=mention.end,
                attribute=mention.attribute,
                subject_mentions=_spans(mentions, subject, values=False),
                subject_values=_spans(mentions, subject, values=True),
                attribute_values=_spans_of_attribute(mentions, subject.kind, mention.attribute),
            )
        )
    return tuple(questions)


def unanswered_questions(
    subjects: Sequence[Subject],
    in_tables: set[Subject],
    mentions: Sequence[Mention],
    cast: Cast,
    count: int,
    rng: random.Random,
) -> tuple[Question, ...]:
    """Asks for what is not stated of subjects of the report, and about subjects that are not in it, in turn.

    A row of a table does not name what its values are; a subject in a table is therefore not asked for something of the
    same type as one of its values.
    """
    unstated = []
    for subject in rng.sample(subjects, len(subjects)):
        stated_labels = {subject.kind.attributes[name].label for name in subject.values}
        missing = [
            name
            for name, attribute in subject.kind.attributes.items()
            if name not in subject.values and not (subject in in_tables and attribute.label in stated_labels)
        ]
        if missing:
            unstated.append((subject, rng.choice(missing)))
    questions = []
    for index in range(count):
        if index % 2 == 0 and unstated:
            subject, attribute = unstated.pop()
        else:
            kind = rng.choice(subjects).kind
            subject, attribute = Subject(kind, cast.name(kind), {}), rng.choice(list(kind.attributes))
        questions.append(
            Question(
                text=ask(subject.kind, attribute, subject.name, rng),
                answer="",
                start=0,
                end=0,
                attribute=attribute,
                subject_mentions=_spans(mentions, subject, values=False),
                subject_values=_spans(mentions, subject, values=True),
                attribute_values=_spans_of_attribute(mentions, subject.kind, attribute),
            )
        )
    return tuple(questions)


def _spans(mentions: Sequence[Mention], subject: Subject, *, values: bool) -> tuple[Span, ...]:
    return tuple(
        (mention.start, mention.end)
        for mention in mentions
        if mention.subject is subject and (mention.attribute is not None) == values
    )


def _spans_of_attribute(mentions: Sequence[Mention], kind: SubjectKind, attribute: str) -> tuple[Span, ...]:
    return tuple(
        (mention.start, mention.end)
        for mention in mentions
        if mention.subject.kind is kind and mention.attribute == attribute
    )
