"""Long documents made of an encyclopedia's summaries, which have 75 words in the median."""

import random
from collections.abc import Sequence

from demo.real.labelled_documents import Entity, LabelledDocument

_SHORT_SOURCE = "encyclopedia"
_FEWEST_WORDS, _MOST_WORDS = 1_000, 3_000
# The share of them whose parts stand under their titles, as headings.
_SHARE_WITH_TITLES = 0.5


def join_by_topic(documents: Sequence[LabelledDocument], draw: random.Random) -> list[LabelledDocument]:
    """Return documents with the short ones joined to those of the same subject; the others stay as they are."""
    joined = [document for document in documents if document.source != _SHORT_SOURCE]
    short: dict[str, list[LabelledDocument]] = {}
    for document in documents:
        if document.source == _SHORT_SOURCE:
            short.setdefault(document.topic, []).append(document)
    for _, left in sorted(short.items()):
        while left:
            wanted, with_titles = draw.randint(_FEWEST_WORDS, _MOST_WORDS), draw.random() < _SHARE_WITH_TITLES
            taken: list[LabelledDocument] = []
            while left and sum(document.words for document in taken) < wanted:
                taken.append(left.pop())
            joined.append(_join(taken, with_titles=with_titles))
    return joined


def _join(parts: Sequence[LabelledDocument], *, with_titles: bool) -> LabelledDocument:
    text = ""
    entities: list[Entity] = []
    for part in parts:
        text += ("\n\n" if text else "") + (f"{part.name}\n\n" if with_titles else "")
        entities += [(start + len(text), end + len(text), label) for start, end, label in part.entities]
        text += part.text
    names = "; ".join(part.name for part in parts)
    return LabelledDocument(_SHORT_SOURCE, names, text, parts[0].topic, entities)
