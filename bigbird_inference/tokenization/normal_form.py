"""The normal form of a text, and where each of its characters came from, without holding the interpreter for long.

SentencePiece normalises outside the interpreter's lock, but returns the origin of every character as a Python integer.
That takes longer than everything else, and a character can become 18, so 200,000 of them would stop every other thread
for a third of a second.

Most texts do without (`character_origins`). The others are normalised in parts if they are long.

A part is cut so that it makes no difference. The normaliser goes from left to right and replaces the longest match at
each place; all that it remembers is whether the last character was a space. So a part may begin where a replacement
begins, unless that is a space, and where one begins is known if the part before reached further than any rule. Whatever
is added to the ends of each part (a space, mostly) is dropped by comparing the place where two parts meet. The parts
must add up to the normal form of the whole text, which costs little to compute; otherwise the text is not cut.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bigbird_inference.tokenization.encoded import Int64Array

SPACE_SYMBOL = "\u2581"
"""What SentencePiece writes for a space, also before the first word."""

PART = 8192
"""Code points of a text that are normalised at once."""

LONGEST_RULE = 512
"""Code points beyond a part that are looked at; SentencePiece's own rules have at most a dozen, its pieces 128."""

_SPACES = np.array([ord(SPACE_SYMBOL), ord(" ")])


@dataclass(frozen=True, slots=True)
class NormalForm:
    """A text as SentencePiece segments it.

    Attributes:
        characters: Its code points, uint32 `[characters]`.
        offsets: For each the code point of the text that it came from, then the end of the text, int64
            `[characters + 1]`, never decreasing.
    """

    characters: npt.NDArray[np.uint32]
    offsets: Int64Array


def code_points(text: str) -> npt.NDArray[np.uint32]:
    """Return the code points of a text, uint32 `[code points]`."""
    return np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)


def normalise(processor: Any, text: str) -> NormalForm:
    """Return the normal form of a text.

    Args:
        processor: A SentencePiece model.
        text: Unicode without lone surrogates.
    """
    if len(text) <= PART + LONGEST_RULE:
        return _normalise_at_once(processor, text)
    parts = _normalise_in_parts(processor, text)
    whole = code_points(processor.normalize(text))
    if not np.array_equal(parts.characters, whole):
        return _normalise_at_once(processor, text)
    return parts


def _normalise_at_once(processor: Any, text: str) -> NormalForm:
    normalised, offsets = processor.normalize(text, with_offsets=True)
    return NormalForm(code_points(normalised), np.fromiter(offsets, dtype=np.int64, count=len(offsets)))


def _normalise_in_parts(processor: Any, text: str) -> NormalForm:
    characters, offsets = [], []
    begin, seam = 0, 0  # where the part begins, and how many characters its first code point becomes
    size = PART
    while True:
        end = begin + size + LONGEST_RULE
        part = _normalise_at_once(processor, text[begin:end])
        added = int(np.searchsorted(part.offsets[:-1], 0, side="right")) - seam if begin else 0
        cut = _last_cut(part, size) if end < len(text) else None
        if cut is None and end < len(text):
            size *= 2  # nothing but spaces, or characters that are dropped
            continue
        stop = None if cut is None else int(np.searchsorted(part.offsets[:-1], cut))
        characters.append(part.characters[added:stop])
        offsets.append(part.offsets[added:stop] + begin)
        if cut is None:
            return NormalForm(np.concatenate(characters), np.concatenate(offsets))
        seam = int(np.searchsorted(part.offsets[:-1], cut, side="right")) - int(stop or 0)
        begin, size = begin + cut, PART


def _last_cut(part: NormalForm, size: int) -> int | None:
    """Find the last code point of a part up to a size, after its first, that became a visible beginning."""
    begins = np.flatnonzero(np.diff(part.offsets[:-1])) + 1
    begins = begins[~np.isin(part.characters[begins], _SPACES)]
    cuts = part.offsets[begins]
    cuts = cuts[cuts <= size]
    return int(cuts[-1]) if len(cuts) else None
