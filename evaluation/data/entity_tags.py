"""What a sequence of entity tags means, whole or broken.

A tag is `O`, or a prefix, a hyphen and a type: `B-PER`. An entity goes on with `I` or `E` (last) after `B` or `I` of
the same type; everything else but `O` begins one, `S` (single) included. This is the rule of the CoNLL shared tasks'
script (conlleval) and of seqeval. It reads IOB1, BIO and BIOES alike, and gives broken tags (an `I` after `O`, or after
another type) the meaning of a beginning, so nothing is lost.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

TaggingScheme = Literal["IOB1", "BIO", "BIOES"]

TAG = re.compile(r"O|[BIES]-.+")
"""A tag that can be read; the match must be full."""


@dataclass(frozen=True, slots=True)
class TagSpan:
    """Words `[first, stop)` are an entity."""

    label: str
    first: int
    stop: int


def spans_of_tags(tags: Sequence[str]) -> list[TagSpan]:
    """Return the entities of a sequence of tags, in its order."""
    spans: list[TagSpan] = []
    before = "O"
    for index, tag in enumerate(tags):
        if continues(tag, before):
            spans[-1] = TagSpan(spans[-1].label, spans[-1].first, index + 1)
        elif tag != "O":
            spans.append(TagSpan(tag[2:], index, index + 1))
        before = tag
    return spans


def continues(tag: str, before: str) -> bool:
    """Tell whether a tag goes on with the entity of the tag before it."""
    return tag[0] in "IE" and before[0] in "BI" and tag[2:] == before[2:]


def detect_scheme(sequences: Sequence[Sequence[str]]) -> TaggingScheme:
    """Return the scheme in which most is as it should be; of equally good ones BIO."""
    pairs = [(before, tag) for tags in sequences for before, tag in zip(("O", *tags), tags, strict=False)]
    if any(tag[0] in "ES" for _, tag in pairs):
        return "BIOES"
    begins_without_need = sum(tag[0] == "B" and not _must_separate(before, tag) for before, tag in pairs)
    begins_with_inside = sum(tag[0] == "I" and not continues(tag, before) for before, tag in pairs)
    return "IOB1" if begins_with_inside > begins_without_need else "BIO"


def violation(tag: str, before: str, after: str, scheme: TaggingScheme) -> str | None:
    """Return what is wrong with a tag between its neighbours (`O` at the ends) in a scheme, or None.

    Args:
        tag: A tag that can be read.
        before: The tag before it.
        after: The tag after it.
        scheme: The scheme.
    """
    allowed = {"IOB1": "BIO", "BIO": "BIO", "BIOES": "BIOES"}[scheme]
    if tag[0] not in allowed:
        return f"{scheme} has no {tag[0]}-"
    if scheme == "IOB1":
        separates = tag[0] != "B" or _must_separate(before, tag)
        return None if separates else "IOB1 uses B- only between neighbours of one type"
    if tag[0] in "IE" and not continues(tag, before):
        return f"no entity of its type is open after {before}"
    if scheme == "BIOES" and tag[0] in "BI" and not continues(after, tag):
        return f"its entity has no E- before {after}"
    return None


def _must_separate(before: str, tag: str) -> bool:
    """Tell whether two neighbouring entities would be one without a `B`."""
    return before != "O" and before[2:] == tag[2:]
