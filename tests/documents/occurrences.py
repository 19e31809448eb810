"""The same words in two readings of a page: found by their letters and those around them, never by place."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

Edges = tuple[float, float, float, float]

# Spaces and hyphens at lines' ends are a reader's choice; what a glyph without Unicode is, nobody knows.
_LEFT_OUT = re.compile(r"[\s\-\u00ad\u2010\ufffd\x00-\x1f\x7f-\x9f]|\(cid:\d+\)")

# How many letters on both sides tell apart what occurs several times.
_AROUND = (0, 6, 12, 25, 50, 100)


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Return where the characters by which readings are compared begin and end between two places of a text."""
    inside = [place for place in range(start, end) if letters(text[place])]
    return (inside[0], inside[-1] + 1) if inside else (start, start)


def letters(text: str) -> str:
    """Return the characters by which readings are compared: ligatures apart, no spaces and no hyphens."""
    return unicodedata.normalize("NFKC", _LEFT_OUT.sub("", text))


@dataclass(frozen=True, slots=True)
class Reading:
    """A page as a sequence of letters.

    Attributes:
        text: Its letters.
        sources: For each of them the index of what it was read from: a character of a text, or a glyph.
    """

    text: str
    sources: Sequence[int]

    @classmethod
    def of(cls, pieces: Sequence[str]) -> "Reading":
        """Return the reading of characters, or of glyphs with several each."""
        found = [(letter, index) for index, piece in enumerate(pieces) for letter in letters(piece)]
        return cls("".join(letter for letter, _ in found), [index for _, index in found])

    def places(self, wanted: str) -> list[int]:
        """Return where some letters begin, overlapping or not."""
        found, place = [], self.text.find(wanted)
        while place >= 0:
            found.append(place)
            place = self.text.find(wanted, place + 1)
        return found

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the letters that were read from some characters, as a range."""
        inside = [number for number, source in enumerate(self.sources) if start <= source < end]
        return (inside[0], inside[-1] + 1) if inside else (0, 0)


def counterpart(ours: Reading, start: int, end: int, theirs: Reading) -> list[int] | None:
    """Find letters of one reading in the other, by what stands around them if they occur several times.

    Returns:
        For each letter the index of the glyph in the other reading; None if it does not have them in this order, or
        nothing tells which ones they are.
    """
    if ours.text == theirs.text:
        return list(theirs.sources[start:end])
    for around in _AROUND:
        first = max(start - around, 0)
        wanted = ours.text[first : end + around]
        if len(ours.places(wanted)) == 1 and len(there := theirs.places(wanted)) == 1:
            place = there[0] + start - first
            return list(theirs.sources[place : place + end - start])
    wanted = ours.text[start:end]
    if any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in wanted) and len(ours.places(wanted)) == 1:
        # The file draws them from the left.
        there = theirs.places(wanted[::-1])
        if len(there) == 1:
            return list(reversed(theirs.sources[there[0] : there[0] + len(wanted)]))
    return None


def union(boxes: Sequence[Edges]) -> Edges:
    """Return the smallest box around some."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def share_of_words(words: Sequence[str], reading: Reading) -> tuple[int, int]:
    """Return how many of another reader's words a page has, each as often, and how many there are."""
    counted: dict[str, int] = {}
    for word in filter(None, map(letters, words)):
        counted[word] = counted.get(word, 0) + 1
    found = sum(
        min(number, max(len(reading.places(word)), len(reading.places(word[::-1])))) for word, number in counted.items()
    )
    return found, sum(counted.values())


def runs(text: str, length: int) -> list[tuple[int, int]]:
    """Return where runs of so many words begin and end in a text."""
    words = [match.span() for match in re.finditer(r"\S+", text)]
    return [(words[first][0], words[first + length - 1][1]) for first in range(len(words) - length + 1)]
