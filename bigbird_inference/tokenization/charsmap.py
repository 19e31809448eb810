"""SentencePiece's precompiled character map, checked before any library walks through it.

A `tokenizer.json` carries the map of its normaliser as base64. Both SentencePiece and `tokenizers` follow the offsets
in it without looking where they lead, so a wrong map reads foreign memory or ends the process.

The map is: a little-endian length in bytes, a trie of that length (a double array of 32-bit units, as the Darts-clone
library lays it out), and the replacements, each ended by a zero byte. A unit's bit 31 says that it holds a value, the
offset of a replacement; otherwise bit 8 says that it has such a unit beside it, and bits 9 to 31 lead to its children.
"""

import base64
import binascii

import numpy as np
import numpy.typing as npt

# The longest in the maps that SentencePiece ships has 33 bytes; a longer one would let a short text grow without end.
_LONGEST_REPLACEMENT = 128

_UNIT_BYTES = 4
_VALUE = np.uint32(1 << 31)
_HAS_VALUE = np.uint32(1 << 8)
_WIDE = np.uint32(1 << 9)


def decode_charsmap(text: str) -> bytes:
    """Return the map as bytes.

    Raises:
        ValueError: It is not base64, or not a map that can be walked; the message says what is wrong.
    """
    try:
        charsmap = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not base64") from None
    check_charsmap(charsmap)
    return charsmap


def check_charsmap(charsmap: bytes) -> None:
    """Check that a map can be walked without leaving it; an empty one is none.

    Raises:
        ValueError: It cannot; the message says what is wrong.
    """
    if not charsmap:
        return
    size = int.from_bytes(charsmap[:_UNIT_BYTES], "little")
    trie, replacements = charsmap[_UNIT_BYTES : _UNIT_BYTES + size], charsmap[_UNIT_BYTES + size :]
    # A walk stays within a block of 256 units as long as the last block is whole.
    if size == 0 or len(trie) != size or size % (256 * _UNIT_BYTES):
        raise ValueError("is not a character map: its trie is cut")
    if not replacements.endswith(b"\0"):
        raise ValueError("is not a character map: its replacements are cut")
    try:
        replacements.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("is not a character map: its replacements are not UTF-8") from None
    if max(map(len, replacements.split(b"\0"))) > _LONGEST_REPLACEMENT:
        raise ValueError(f"replaces characters by more than {_LONGEST_REPLACEMENT} bytes")
    if not _walkable(np.frombuffer(trie, dtype="<u4"), np.frombuffer(replacements, dtype=np.uint8)):
        raise ValueError("is not a character map: its trie leads out of it")


def _walkable(units: npt.NDArray[np.uint32], replacements: npt.NDArray[np.uint8]) -> bool:
    """Tell whether every unit leads to units and replacements that exist, reachable or not."""
    positions = np.flatnonzero((units & _VALUE) == 0)
    inner = units[positions]
    offsets = (inner >> np.uint32(10)) << ((inner & _WIDE) >> np.uint32(6))
    children = positions.astype(np.uint32) ^ offsets
    if np.any(children | np.uint32(0xFF)) and int((children | np.uint32(0xFF)).max()) >= len(units):
        return False
    values = units[children[(inner & _HAS_VALUE) != 0]] & ~_VALUE
    if len(values) == 0:
        return True
    if int(values.max()) >= len(replacements):
        return False
    begins_a_character = (replacements[values] & 0xC0) != 0x80
    return bool(begins_a_character.all())
