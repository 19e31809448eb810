"""From a library's offsets to spans that can be cut out of the text.

SentencePiece tells for each piece which code points were consumed with it. Taken as they are, these spans include the
space before a word, are empty for all but the last of several pieces that one character became (bytes, ligatures), and
leave out a character whose normal form is split between two pieces. Those of `tokenizers` include spaces, too, and of
characters that are composed only the first. The functions here mend all of it, on whole arrays.
"""

import sys
import unicodedata
from functools import cache

import numpy as np
import numpy.typing as npt

from bigbird_inference.tokenization.encoded import Int64Array


def token_spans(lengths: Int64Array, normal_offsets: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Find the code points that were consumed with each token, as SentencePiece tells them.

    All but the last of a character's bytes have an empty span, where the character begins.

    Args:
        lengths: Normalised characters of each token, int64 `[tokens]`; 0 for all but the first byte of a character.
        normal_offsets: For each normalised character the code point it came from, then the end of the text,
            int64 `[normalised characters + 1]`.

    Returns:
        Starts and ends, int64 `[tokens]`, neither of them decreasing.
    """
    after = np.cumsum(lengths)
    starts = normal_offsets[after - np.maximum(lengths, 1)]
    ends = normal_offsets[after]
    before_byte = np.flatnonzero(lengths[1:] == 0)
    ends[before_byte] = starts[before_byte]
    return starts, ends


def share_split_characters(starts: Int64Array, ends: Int64Array, split_after: npt.NDArray[np.bool_]) -> Int64Array:
    """Extend tokens that end inside a character to the end of that character.

    Args:
        starts: First code point of each token, int64 `[tokens]`, never decreasing.
        ends: One past the last, int64 `[tokens]`, never decreasing.
        split_after: Whether a token is known to end inside the normal form of a character, bool `[tokens]`.
            Tokens with an empty span always do.

    Returns:
        The new ends, int64 `[tokens]`, never decreasing.
    """
    inside = np.flatnonzero(split_after | (starts == ends))
    following = np.searchsorted(ends, ends[inside], side="right")
    extended = ends.copy()
    extended[inside] = ends[np.minimum(following, len(ends) - 1)]
    return extended


def split_characters(lengths: Int64Array, normal_offsets: Int64Array) -> npt.NDArray[np.bool_]:
    """Find the tokens that end inside the normal form of one character.

    Args:
        lengths: Normalised characters of each token, int64 `[tokens]`.
        normal_offsets: For each normalised character the code point it came from, then the end of the text,
            int64 `[normalised characters + 1]`.

    Returns:
        bool `[tokens]`; all False where lengths and offsets do not tell of the same string.
    """
    boundaries = np.cumsum(lengths)
    last = len(normal_offsets) - 1
    if len(boundaries) == 0 or boundaries[-1] != last:
        return np.zeros(len(lengths), dtype=np.bool_)
    inside = (boundaries > 0) & (boundaries < last)
    before = normal_offsets[np.maximum(boundaries - 1, 0)]
    return np.asarray(inside & (before == normal_offsets[boundaries]), dtype=np.bool_)


def trim_blanks(starts: Int64Array, ends: Int64Array, blank: npt.NDArray[np.bool_]) -> tuple[Int64Array, Int64Array]:
    """Take blank characters off both sides of every span.

    A token of nothing but blanks gets an empty span at its end.

    Args:
        starts: First code point of each token, int64 `[tokens]`, never decreasing.
        ends: One past the last, int64 `[tokens]`, never decreasing.
        blank: Whether each code point of the text is blank, bool `[code points]`.

    Returns:
        New starts and ends, neither of them decreasing.
    """
    visible = np.flatnonzero(~blank)
    before = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(~blank)))  # visible characters, of each position
    next_visible = np.append(visible, len(blank))
    previous_end = np.concatenate((np.zeros(1, dtype=np.int64), visible + 1))
    new_starts = np.minimum(next_visible[before[starts]], ends)
    new_ends = np.maximum(previous_end[before[ends]], new_starts)
    return new_starts, new_ends


def cover_joined(starts: Int64Array, ends: Int64Array, characters: npt.NDArray[np.uint32]) -> Int64Array:
    """Extend tokens over the marks and parts of a letter that follow them and belong to no token.

    A normaliser joins them with the character before, or drops them; a span that leaves them out cuts a letter in two.

    Args:
        starts: First code point of each token, int64 `[tokens]`, never decreasing.
        ends: One past the last, int64 `[tokens]`, never decreasing.
        characters: The text's code points, uint32.

    Returns:
        The new ends, int64 `[tokens]`, never decreasing.
    """
    size = len(characters)
    joining = np.append(_joining()[characters], False)
    positions = np.arange(size + 1)
    # Where the run of joining characters that begins here ends.
    run_end = np.minimum.accumulate(np.where(joining, size, positions)[::-1])[::-1]
    following = np.searchsorted(starts, ends)  # a token that begins at the end or after it
    next_start = np.append(starts, size)[following]
    reach = np.minimum(run_end[ends], next_start)
    return np.maximum.accumulate(np.where(ends > starts, np.maximum(ends, reach), ends))


@cache
def _joining() -> npt.NDArray[np.bool_]:
    """Return which code points are marks, or vowels and finals of Hangul written in parts; bool `[0x110000]`."""
    table = np.zeros(sys.maxunicode + 1, dtype=np.bool_)
    for code_point in (*range(0x300, 0xD800), *range(0xE000, 0x20000), *range(0xE0100, 0xE01F0)):
        table[code_point] = unicodedata.category(chr(code_point))[0] == "M"
    for first, last in ((0x1160, 0x11FF), (0xD7B0, 0xD7FB), (0xFF9E, 0xFF9F)):
        table[first : last + 1] = True
    return table
