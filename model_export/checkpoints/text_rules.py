"""What a `tokenizer.json` does to a text before its model, reduced to what SentencePiece can do.

transformers writes, for BigBird:

    4.x   [Precompiled] -> Strip(right) -> Replace(" {2,}", "▁") -> Metaspace(always)
    5.x                    Strip()      -> Replace(" {2,}", "▁") -> Metaspace(always)

Both mean: a character map or none, runs of spaces are one, and a text begins with a space. SentencePiece says that with
a charsmap, `remove_extra_whitespaces` and `add_dummy_prefix`. They part only at the ends of a text (see `same_ids`).

SentencePiece's precompiled character map, checked before any library walks through it. A `tokenizer.json` carries the
map of its normaliser as base64. Both SentencePiece and `tokenizers` follow the offsets in it without looking where they
lead, so a wrong map reads foreign memory or ends the process.

The map is: a little-endian length in bytes, a trie of that length (a double array of 32-bit units, as the Darts-clone
library lays it out), and the replacements, each ended by a zero byte. A unit's bit 31 says that it holds a value, the
offset of a replacement; otherwise bit 8 says that it has such a unit beside it, and bits 9 to 31 lead to its children.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from model_export.checkpoints.typed_fields import Unusable, flag, items, mapping, string

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


SPACE_SYMBOL = "\u2581"
"""What stands for a space in a piece."""

_RUN_OF_SPACES = {"Regex": " {2,}"}


@dataclass(frozen=True, slots=True)
class TextRules:
    """The rules that are not always the same.

    Attributes:
        charsmap: SentencePiece's precompiled character map; empty for none.
        splits_at_spaces: Whether the text is cut before every space, so that no piece reaches across one.
    """

    charsmap: bytes
    splits_at_spaces: bool


def read_text_rules(normalizer: object, pre_tokenizer: object) -> TextRules:
    """Read the two fields of a `tokenizer.json`.

    Raises:
        Unusable: SentencePiece cannot do what they say.
    """
    return TextRules(_read_normalizer(normalizer), _read_pre_tokenizer(pre_tokenizer))


def _read_normalizer(value: object) -> bytes:
    """Return the character map of a chain `[Precompiled] [Strip] Replace`, the last two in any order."""
    steps = _steps(value)
    kinds = [kind for kind, _, _ in steps]
    if "Replace" not in kinds:
        raise Unusable(
            "normalizer: runs of spaces are not joined, as SentencePiece does in a model with a space in front"
        )
    charsmap = b""
    for index, (kind, step, where) in enumerate(steps):
        if kind in kinds[:index]:
            raise Unusable(f"{where}: a second {kind} cannot be expressed in SentencePiece")
        if kind == "Precompiled" and index == 0:
            charsmap = _charsmap(step, where)
        elif kind == "Strip":
            for side in ("strip_left", "strip_right"):
                flag(step.get(side), f"{where}.{side}")
            if step["strip_left"]:
                raise Unusable(f"{where}.strip_left: is true, but SentencePiece strips nothing but spaces")
        elif kind == "Replace":
            if step.get("pattern") != _RUN_OF_SPACES or step.get("content") not in (SPACE_SYMBOL, " "):
                raise Unusable(f"{where}: is not the replacement of a run of spaces by one, the only one supported")
        else:
            raise Unusable(f"{where}: {kind[:40]!r} cannot be expressed in SentencePiece at this place")
    return charsmap


def _steps(value: object) -> list[tuple[str, Mapping[str, Any], str]]:
    """Return kind, fields and name of every step."""
    if value is None:
        return []
    outer = mapping(value, "normalizer")
    if outer.get("type") == "Sequence":
        inner = items(outer.get("normalizers"), "normalizer.normalizers")
        named = [(step, f"normalizer.normalizers[{index}]") for index, step in enumerate(inner)]
    else:
        named = [(value, "normalizer")]
    return [
        (string(mapping(step, where).get("type"), f"{where}.type"), mapping(step, where), where)
        for step, where in named
    ]


def _charsmap(step: Mapping[str, Any], where: str) -> bytes:
    name = f"{where}.precompiled_charsmap"
    try:
        return decode_charsmap(string(step.get("precompiled_charsmap"), name))
    except ValueError as error:
        raise Unusable(f"{name}: {error}") from None


def _read_pre_tokenizer(value: object) -> bool:
    where = "pre_tokenizer"
    step = mapping(value, where)
    if step.get("type") != "Metaspace":
        kind = step.get("type")
        raise Unusable(f"{where}: {str(kind)[:40]!r} cannot be expressed in SentencePiece; Metaspace can")
    if step.get("replacement") != SPACE_SYMBOL:
        raise Unusable(f"{where}.replacement: is not {SPACE_SYMBOL!r}, which SentencePiece writes for a space")
    # Files from before tokenizers 0.15 say add_prefix_space instead.
    scheme = step.get("prepend_scheme", "never" if step.get("add_prefix_space") is False else "always")
    # A text without added tokens is one section, so that the first one is all of it.
    if scheme not in ("always", "first"):
        raise Unusable(f"{where}.prepend_scheme: is {str(scheme)[:40]!r}; only 'always' and 'first' are supported")
    return flag(step.get("split", True), f"{where}.split")
