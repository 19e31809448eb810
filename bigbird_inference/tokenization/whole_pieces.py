"""Words of a text that are pieces of a byte-pair vocabulary as they stand, found for a whole text at once.

SentencePiece's byte-pair model looks at every pair of neighbouring characters, and at every pair that comes out of a
merge, which takes longer than all else that is done for a text. A merge makes a piece, so none ever joins two
neighbouring characters that no piece holds side by side. A text can be cut there without a change, and most of the
parts, the words and marks that stand in every text, are pieces by themselves.

Unigram models choose by sums of scores over the whole text, which rounding makes depend on what stands before, and are
five times as fast; their texts are left to SentencePiece.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bigbird_inference.tokenization.encoded import Int64Array
from bigbird_inference.tokenization.normal_form import SPACE_SYMBOL, code_points

Uint32Array = npt.NDArray[np.uint32]

_SPACE = ord(SPACE_SYMBOL)

# Pairs of characters are kept by a hash of so many bits; where two share one, a text is cut less often.
_PAIR_BITS = 20
_FIRST, _SECOND = np.uint32(0x9E3779B1), np.uint32(0x85EBCA6B)

# With 16 to 32 slots for each piece, two in a hundred share one with a piece before.
_SPARE_BITS = 4

# As the trainer's specification numbers the types.
_BYTE_PAIR = 2

# Of longer parts only so many characters differ in weight; found pieces are compared anyway.
_WEIGHTS = np.random.default_rng(0).integers(2**63, size=64, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


@dataclass(frozen=True, slots=True)
class FoundPieces:
    """What was told of a text.

    Attributes:
        ids: The pieces that were found, int64 `[found]`, in the order of the text.
        lengths: Characters of each, int64 `[found]`.
        lasts: Position of each one's last character, int64 `[found]`.
        left: Whether a character belongs to none of them, bool `[characters]`. What is left are whole words with the
            space before them, and they can be tokenised together.
    """

    ids: Int64Array
    lengths: Int64Array
    lasts: Int64Array
    left: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class WholePieces:
    """The pieces of a byte-pair vocabulary that stay whole between two cuts.

    Attributes:
        joined: Whether some piece holds two characters side by side, by the hash of the pair; bool `[2 ** 20]`.
        slots: Which piece a part of a text can be, by its hash, int32 `[a power of two]`. Of pieces that share a slot
            it has the first, and the others are never found.
        ids: int64 `[pieces]`.
        begins: Where the characters of each begin, int64 `[pieces]`.
        lengths: How many those are, int64 `[pieces]`.
        characters: All of them, uint32.
    """

    joined: npt.NDArray[np.bool_]
    slots: npt.NDArray[np.int32]
    ids: Int64Array
    begins: Int64Array
    lengths: Int64Array
    characters: Uint32Array

    @classmethod
    def of(cls, processor: Any, pieces: Sequence[str], ordinary: Sequence[int]) -> Self | None:
        """Have a byte-pair model cut each of its pieces; None if none stays whole.

        Args:
            processor: The model.
            pieces: All of them, by id.
            ordinary: Ids of those that texts are made of.
        """
        joined = np.zeros(2**_PAIR_BITS, dtype=np.bool_)
        for piece in pieces:
            joined[_pairs(code_points(piece))] = True
        # A piece is tried behind a character from which it is cut, as it is in a text.
        singles = [pieces[index] for index in ordinary if len(pieces[index]) == 1 and pieces[index] != SPACE_SYMBOL]
        firsts = {pieces[index][0] for index in ordinary}
        before = {first: _not_joined(joined, singles, first) for first in firsts}
        tried = [index for index in ordinary if before[pieces[index][0]] is not None]
        texts = [f"{before[pieces[index][0]]}{pieces[index]}".replace(SPACE_SYMBOL, " ") for index in tried]
        cuts = processor.encode(texts, return_type=int, num_threads=1)
        whole = [index for index, cut in zip(tried, cuts, strict=True) if cut[-1:] == [index]]
        if not whole:
            return None
        characters = code_points("".join(pieces[index] for index in whole))
        lengths = np.array([len(pieces[index]) for index in whole])
        begins = np.cumsum(lengths) - lengths
        slots = np.zeros(2 ** (len(whole).bit_length() + _SPARE_BITS), dtype=np.int32)
        hashes = _hashes(characters, begins, _within(begins, lengths), len(slots))
        slots[hashes[::-1]] = np.arange(len(whole), dtype=np.int32)[::-1]
        return cls(joined, slots, np.array(whole), begins, lengths, characters)

    def find(self, characters: Uint32Array) -> FoundPieces:
        """Find the words of a text that are made of whole pieces.

        Args:
            characters: The code points of its normal form, at least one.
        """
        begins = np.flatnonzero(np.append(True, ~self.joined[_pairs(characters)]))
        lengths = np.diff(begins, append=len(characters))
        within = _within(begins, lengths)
        places = self.slots[_hashes(characters, begins, within, len(self.slots))]
        own = np.minimum(np.repeat(self.begins[places], lengths) + within, len(self.characters) - 1)
        others = np.flatnonzero(self.characters[own] != characters)
        found = self.lengths[places] == lengths
        found[_parts_of(others, begins)] = False
        # What stands between two spaces is tokenised together, so that it is begun as it is in the text.
        words = np.flatnonzero(characters[begins] == _SPACE)
        if len(words) == 0 or words[0] > 0:
            words = np.insert(words, 0, 0)
        whole_words = np.ones(len(words), dtype=np.bool_)
        whole_words[_parts_of(np.flatnonzero(~found), words)] = False
        found = np.repeat(whole_words, np.diff(words, append=len(begins)))
        lasts = begins + lengths - 1
        return FoundPieces(self.ids[places[found]], lengths[found], lasts[found], np.repeat(~found, lengths))


def _parts_of(positions: Int64Array, begins: Int64Array) -> Int64Array:
    """Return the number of the part that each position lies in, of parts that begin where they are told to."""
    return np.searchsorted(begins, positions, side="right") - 1


def _pairs(characters: Uint32Array) -> Uint32Array:
    """Return the hash of each character and the next, uint32 `[characters - 1]`."""
    mixed = (characters[:-1] * _FIRST) ^ (characters[1:] * _SECOND)
    return mixed >> np.uint32(32 - _PAIR_BITS)


def _not_joined(joined: npt.NDArray[np.bool_], singles: Sequence[str], first: str) -> str | None:
    """Return a piece of one character that no piece holds before another character."""
    return next((single for single in singles if not joined[_pairs(code_points(single + first))].any()), None)


def _within(begins: Int64Array, lengths: Int64Array) -> Int64Array:
    """Return the position of each character in its part."""
    return np.arange(lengths.sum()) - np.repeat(begins, lengths)


def _hashes(characters: Uint32Array, begins: Int64Array, within: Int64Array, slots: int) -> npt.NDArray[np.uint64]:
    """Return a number below a power of two for each part of a text."""
    weights = _WEIGHTS[np.minimum(within, len(_WEIGHTS) - 1)]
    return np.add.reduceat(characters * weights, begins) >> np.uint64(65 - slots.bit_length())


def is_byte_pair(model: bytes) -> bool:
    """Tell whether a SentencePiece model is of the byte-pair type.

    Its file is a message of protobuf: field 2 says how it was trained, and in that field 3 the type.

    Args:
        model: The file, which SentencePiece could read.
    """
    kinds = [kind for field, spec in _fields(model) if field == 2 for number, kind in _fields(spec) if number == 3]
    return kinds[-1:] == [_BYTE_PAIR]


def _fields(message: Any) -> Iterator[tuple[int, Any]]:
    """Yield the fields of a message with their numbers: integers, and everything else as bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        if key & 7 == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        size, at = _varint(message, at) if key & 7 == 2 else ({1: 8, 5: 4}[key & 7], at)
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Return the integer that begins at a byte, seven bits in each, and where it ends."""
    value = shift = 0
    while message[at] & 0x80:
        value |= (message[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
    return value | message[at] << shift, at + 1
