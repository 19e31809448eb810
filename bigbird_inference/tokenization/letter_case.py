"""Upper and lower case as token types: what a vocabulary without capitals forgets, given back beside the ids.

An uncased vocabulary knows "may", and not whether "May" was written. A checkpoint that declares `token_types: case` was
trained with the case of its words as token types, in place of the segments of a pair, so it reads single texts alone.
"""

import numpy as np

from bigbird_inference.tokenization.encoded import Int64Array
from bigbird_inference.tokenization.normal_form import code_points

CASE_TYPES = 4
"""Rows of a token-type embedding that tells them apart."""

_LOWER, _INITIAL, _CAPITALS, _MIXED = range(CASE_TYPES)


def case_types(text: str, starts: Int64Array, ends: Int64Array) -> Int64Array:
    """Return the case of the word in which each token begins.

    A word is a run of letters, digits and what joins with them. Every piece of it has the word's type, so that a later
    piece of "Angela" is not taken for lower case.

    Args:
        text: The text as it was written.
        starts: First code point of each token, int64 `[tokens]`.
        ends: One past the last, int64 `[tokens]`.

    Returns:
        int64 `[tokens]`: 0 without a capital, and for tokens that begin with no letter or digit; 1 where the first
        letter is the only capital ("Angela", "I"); 2 for capitals alone, two or more ("NATO"); 3 for others ("McKay").
    """
    if not text:
        return np.zeros(len(starts), dtype=np.int64)
    distinct, inverse = np.unique(code_points(text), return_inverse=True)
    characters = [chr(code) for code in distinct.tolist()]
    in_word = np.array([is_in_word(character) for character in characters])[inverse]
    letter = np.array([character.isalpha() for character in characters])[inverse]
    capital = np.array([character.isupper() or character.istitle() for character in characters])[inverse]

    begins = in_word & ~np.concatenate(([False], in_word[:-1]))
    word_of = np.cumsum(begins)  # from 1 on; a character of no word has the number of the word before it
    words = int(word_of[-1]) + 1
    letters = np.bincount(word_of[letter & in_word], minlength=words)
    capitals = np.bincount(word_of[capital & in_word], minlength=words)
    first_is_capital = np.zeros(words, dtype=np.bool_)
    with_letters, first_letters = np.unique(word_of[letter & in_word], return_index=True)
    first_is_capital[with_letters] = capital[letter & in_word][first_letters]

    of_word = np.full(words, _MIXED, dtype=np.int64)
    of_word[(capitals == letters) & (letters > 1)] = _CAPITALS
    of_word[(capitals == 1) & first_is_capital] = _INITIAL
    of_word[capitals == 0] = _LOWER
    at = np.minimum(starts, len(in_word) - 1)
    return np.where((ends > starts) & in_word[at], of_word[word_of[at]], _LOWER)


def is_in_word(character: str) -> bool:
    """Tell whether a character is part of a word: a letter, a digit, or a mark on one."""
    # Marks are not letters to Python: "e" and an accent of its own are one letter of a word.
    return character.isalnum() or "\u0300" <= character <= "\u036f"
