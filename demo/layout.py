"""The outward form of a report: title, numbered or plain headings, paragraphs, and blocks between them."""

import random

from demo.grammar import choose
from demo.prose import HEADINGS, TITLES
from demo.sentences import Sentence, join

_SHORTEST_WITH_HEADINGS = 120
_SHARE_OF_TITLES = 0.7
_SHARE_OF_HEADINGS = 0.5
_SHARE_OF_BULLETED_PARAGRAPHS = 0.12


def lay_out(
    texts: list[Sentence], blocks: list[Sentence], report_type: str, tokens: int, rng: random.Random
) -> Sentence:
    """Make paragraphs of texts, puts the blocks between them and headings above.

    Args:
        texts: What the paragraphs are made of, in their order.
        blocks: Lists, sheets and tables.
        report_type: Decides the title.
        tokens: About how long the report is; a short one has no headings.
        rng: The source of all choices.
    """
    parts = _paragraphs(texts, rng)
    for block in blocks:
        parts.insert(rng.randint(0, len(parts)), block)
    if tokens < _SHORTEST_WITH_HEADINGS:
        return join(parts, "\n\n")
    head = [Sentence(choose(rng.choice(TITLES[report_type]), rng))] if rng.random() < _SHARE_OF_TITLES else []
    return join([*head, *_with_headings(parts, rng)], "\n\n")


def _paragraphs(texts: list[Sentence], rng: random.Random) -> list[Sentence]:
    paragraphs = []
    position = 0
    while position < len(texts):
        paragraph = texts[position : position + rng.randint(3, 6)]
        position += len(paragraph)
        if rng.random() < _SHARE_OF_BULLETED_PARAGRAPHS:
            paragraphs.append(join((join([Sentence("- "), text], "") for text in paragraph), "\n"))
        else:
            paragraphs.append(join(paragraph, " "))
    return paragraphs


def _with_headings(parts: list[Sentence], rng: random.Random) -> list[Sentence]:
    is_numbered = rng.random() < 0.4
    headings: list[str] = []
    number = 0
    headed = []
    for part in parts:
        if rng.random() < _SHARE_OF_HEADINGS:
            headings = headings or rng.sample(HEADINGS, len(HEADINGS))
            number += 1
            heading = f"{number}. {headings.pop()}" if is_numbered else headings.pop()
            part = join([Sentence(heading), part], "\n")
        headed.append(part)
    return headed
