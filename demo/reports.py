"""Demo reports with everything the three tasks need to know about them.

One report serves all three demo tasks: its type is the label to predict, its entities are the ones to find, and its
questions have answers that are exactly one entity each, or none. Every fact is stated once, every entity's text that
answers a question occurs once, and other subjects with the same attributes stand beside the one that is asked about.

A report depends on its arguments alone. Training uses seeds below `FIRST_EVALUATION_SEED`, evaluation the others.
"""

import random
import re
from dataclasses import dataclass

from demo.blocks import Stock, draw_blocks
from demo.cast import Cast, Subject
from demo.facts import Label
from demo.grammar import choose
from demo.kinds.remark import REMARK
from demo.layout import lay_out
from demo.prose import NEUTRAL_SENTENCES, REPORT_TYPES, TYPED_SENTENCES
from demo.questions import Question, answered_questions, unanswered_questions
from demo.sentences import Sentence, render
from demo.statements import state_facts

FIRST_EVALUATION_SEED = 1_000_000_000

_SHORTEST = 50
_TOKENS_PER_SUBJECT = 130
_MOST_SUBJECTS = 60
_SHORTEST_WITH_REMARKS = 150
_WORD_OR_SIGN = re.compile(r"\d|[^\W\d]+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Entity:
    """A mention of an entity; ``text[start:end]`` of the report is the mention."""

    label: Label
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Report:
    """A report and all that is known about it.

    Attributes:
        text: The report.
        report_type: One of `REPORT_TYPES`.
        entities: The entities it mentions, in order.
        questions: One for each fact it states, in order.
        unanswered: Questions that it does not answer.
    """

    text: str
    report_type: str
    entities: tuple[Entity, ...]
    questions: tuple[Question, ...]
    unanswered: tuple[Question, ...]


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
    """Write the report that belongs to a seed.

    Args:
        seed: The report's number; the same arguments give the same report.
        tokens: About how many tokens the report has, at least 50.
        subjects: About how many subjects facts are stated; by default more in longer reports, up to 60.
        report_type: One of `REPORT_TYPES`; drawn by default.

    Raises:
        ValueError: The report is asked to be shorter than 50 tokens.
    """
    if tokens < _SHORTEST:
        raise ValueError(f"a report has at least {_SHORTEST} tokens, not {tokens}")
    rng = random.Random(f"{seed}/{tokens}")
    drawn_type = rng.choice(REPORT_TYPES)
    kind_of_report = report_type or drawn_type
    cast = Cast(rng)
    about = cast.subjects(subjects or _number_of_subjects(tokens, rng), tokens)
    stock = Stock({subject: set(subject.values) for subject in about})
    blocks = draw_blocks(stock, tokens, rng)
    texts = [text for subject, left in stock.unstated.items() for text in state_facts(subject, left, rng)]
    texts += _fill(kind_of_report, cast, about, tokens, [*blocks, *texts], rng)
    rng.shuffle(texts)
    whole = lay_out(texts, blocks, kind_of_report, tokens, rng)
    entities = [
        Entity(mention.label, mention.start, mention.end) for mention in whole.mentions if mention.label is not None
    ]
    return Report(
        text=whole.text,
        report_type=kind_of_report,
        entities=tuple(entities),
        questions=answered_questions(whole.text, whole.mentions, rng),
        unanswered=unanswered_questions(about, stock.in_tables, whole.mentions, cast, 4 + 2 * (tokens // 500), rng),
    )


def _number_of_subjects(tokens: int, rng: random.Random) -> int:
    if tokens < 130:
        return 2
    return min(_MOST_SUBJECTS, max(2, 1 + tokens // _TOKENS_PER_SUBJECT + rng.randint(-1, 1)))


def _fill(
    report_type: str,
    cast: Cast,
    about: list[Subject],
    tokens: int,
    stated: list[Sentence],
    rng: random.Random,
) -> list[Sentence]:
    """Add sentences without facts until the report has its length; about half of them give away its type."""
    missing = tokens - sum(approximate_tokens(sentence.text) for sentence in stated)
    missing -= tokens // 18 if tokens >= 120 else tokens // 60  # title, headings, bullets
    sentences: list[Sentence] = []
    foreign_type = rng.choice([name for name in REPORT_TYPES if name != report_type])
    decks: dict[str, list[str]] = {}
    remarks = [*REMARK.stated]
    while missing > 5 or len(sentences) < 2:
        position = len(sentences)
        chance = rng.random()
        if position == 5 or (position > 5 and chance < 0.06):
            subject = rng.choice(about)
            sentence = render(choose(rng.choice(subject.kind.mentions), rng), subject)
        elif position > 2 and tokens >= _SHORTEST_WITH_REMARKS and chance < 0.16:
            phrase = rng.choice(remarks)
            sentence = render(choose(phrase, rng), cast.remark(REMARK.stated[phrase]))
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
