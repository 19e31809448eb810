"""Special tokens that no text reaches: how a bundle's `tokenizer.json` lists them, and the proof that none is reached.

Their entries in the vocabulary bear names that the model cuts no text into, which is told from the file.
"""

from collections.abc import Mapping
from typing import Any

from bigbird_inference.tokenization.tokenizer_json import MOST_IDS, ids_of, model_kind, piece, scored_pieces
from bigbird_inference.typed_fields import Unusable, integer, items, mapping

UNREACHABLE = "unreachable"
"""Our section of a bundle's `tokenizer.json`: names of the special tokens by id."""

UNREACHABLE_LENGTH = 256
"""Shortest name, in characters, that a special token has in a WordPiece or byte-pair vocabulary.

WordPiece looks up no word of more than 200 characters and a prefix. A byte-pair model looks up single characters; what
has more must come out of a merge.
"""


def unreachable_names(value: object) -> dict[int, str]:
    """Return the names of the special tokens by id, as the section lists them.

    Raises:
        Unusable: It is no such list.
    """
    names = {}
    for key, name in mapping(value, UNREACHABLE).items():
        index = int(key) if key.isascii() and key.isdigit() and len(key) < 10 else -1
        names[integer(index, f"{UNREACHABLE}: {key[:40]!r}", below=MOST_IDS)] = piece(name, UNREACHABLE)
    return names


def check_unreachable(model: Mapping[str, Any], unreachable: Mapping[int, str]) -> None:
    """Prove that the model cuts no text into a special token.

    Raises:
        Unusable: A text could be cut into one.
    """
    pieces = pieces_of(model)
    names = {pieces[index] for index in unreachable if index in pieces}
    if model_kind(model) == "Unigram":
        reachable = names - {""}  # a piece of no characters is never met
    else:
        reachable = {name for name in names if len(name) < UNREACHABLE_LENGTH}
    if model_kind(model) == "BPE":
        prefix = len(model.get("continuing_subword_prefix") or "")
        for index, entry in enumerate(items(model["merges"], "model.merges")):
            left, right = merged_pieces(entry, f"model.merges[{index}]")
            reachable |= names & {left, right, left + right[prefix:]}
    if reachable:
        raise Unusable(f"model.vocab: {min(reachable)[:40]!r} is a special token, but a text can contain it")


def pieces_of(model: Mapping[str, Any]) -> dict[int, str]:
    """Return the pieces of a vocabulary by id."""
    if model_kind(model) == "Unigram":
        return dict(enumerate(text for text, _ in scored_pieces(model)))
    return {index: text for text, index in ids_of(model).items()}


def merged_pieces(entry: object, where: str) -> tuple[str, str]:
    """Return the two pieces of a byte-pair merge.

    Raises:
        Unusable: It is none.
    """
    parts = entry.split(" ") if isinstance(entry, str) else items(entry, where)
    if len(parts) != 2:
        raise Unusable(f"{where}: is not a pair")
    return piece(parts[0], where), piece(parts[1], where)
