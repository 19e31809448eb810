"""A normaliser that treats each character by itself, as a table.

Libraries that normalise tell where each character came from as so many objects, or spend most of their time on it.
Here it is arithmetic on arrays, outside the interpreter's lock.

BERT's normaliser drops control characters, puts spaces around ideographs, takes accents off and lowercases, in four
passes of the library that keep account of every byte's origin. They take as long as everything else together. What it
makes of a character does not depend on the characters around it, so the library is asked once about each, and texts are
put together from the answers.

The one exception are marks that stay: next to each other they are put into a canonical order. A text with such a mark,
or with a character beyond the table, is left to the library.

SentencePiece's rules may replace several characters together, so what its table says of a text is compared with what
SentencePiece made of it (`normal_form`).
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from bigbird_inference.tokenization.encoded import Int64Array
from bigbird_inference.tokenization.normal_form import code_points

_SIZE = 0x20000
"""Beyond are rare ideographs, tags, and what is for private use."""

# The library holds the interpreter's lock while it normalises.
_AT_ONCE = 4096
_UNKNOWN = 255


@dataclass(frozen=True, slots=True)
class CharacterTable:
    """The normal forms of the characters.

    Attributes:
        lengths: Characters of each normal form, or 255 where the library must be asked; uint8 `[0x20000]`.
        begins: Where each begins in `forms`, int32 `[0x20000]`.
        forms: All of them, one after the other, uint32.
    """

    lengths: npt.NDArray[np.uint8]
    begins: npt.NDArray[np.int32]
    forms: npt.NDArray[np.uint32]

    @classmethod
    def of(cls, normalise: Callable[[str], str], separator: str = "|") -> Self | None:
        """Ask a normaliser about every character; None if the answers are not what they must be.

        Args:
            normalise: Returns the normal form of a text.
            separator: A character that it leaves as it is and puts in no other's place.
        """
        listed: list[str] = []
        for first in range(0, _SIZE, _AT_ONCE):
            codes = range(first, first + _AT_ONCE)
            asked = [chr(code) if _can_be_asked(code) and chr(code) != separator else "" for code in codes]
            answers = normalise(separator.join(asked)).split(separator)
            if len(answers) != len(asked):
                return None
            listed += answers
        listed[ord(separator)] = normalise(separator)
        if max(map(len, listed)) >= _UNKNOWN:
            return None
        lengths = np.fromiter(map(len, listed), dtype=np.uint8, count=_SIZE)
        begins = np.cumsum(lengths, dtype=np.int32) - lengths
        for code in np.flatnonzero(lengths).tolist():
            if any(map(unicodedata.combining, listed[code])):
                lengths[code] = _UNKNOWN
        return cls(lengths, begins.astype(np.int32), code_points("".join(listed)))

    def apply(self, text: str) -> tuple[str, Int64Array] | None:
        """Return the normal form of a text, and the code point that each of its characters came from.

        Args:
            text: Unicode without lone surrogates.

        Returns:
            The normal form and int64 `[its length]`; None if the library must be asked.
        """
        found = self.forms_of(code_points(text))
        return found and (found[0].tobytes().decode("utf-32-le"), found[1])

    def forms_of(self, codes: npt.NDArray[np.uint32]) -> tuple[npt.NDArray[np.uint32], Int64Array] | None:
        """Return the same as `apply` with code points, uint32, in place of both texts."""
        if len(codes) == 0 or int(codes.max()) >= _SIZE:
            return None
        # `take` in place of brackets: twice as fast on arrays of this size.
        lengths = self.lengths.take(codes)
        longest = int(lengths.max())
        if longest == _UNKNOWN:
            return None
        begins = self.begins.take(codes)
        if longest == int(lengths.min()) == 1:
            return self.forms.take(begins), np.arange(len(codes))
        origins = np.repeat(np.arange(len(codes)), lengths)
        ends = np.cumsum(lengths, dtype=np.int64)
        within = np.arange(len(origins)) - (ends - lengths)[origins]
        return self.forms.take(begins.take(origins) + within), origins


def _can_be_asked(code: int) -> bool:
    """Tell whether it is a character, not half of a surrogate pair."""
    return not 0xD800 <= code < 0xE000
