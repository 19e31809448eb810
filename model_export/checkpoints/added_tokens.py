"""What the files beside a `spiece.model` say of it: which tokens are special, which were added, what the mask takes.

transformers has written that down in several ways. `tokenizer_config.json` of version 4.34 and later lists every added
token (`added_tokens_decoder`), and then nothing else counts. Otherwise `special_tokens_map.json` names the special
tokens, over `tokenizer_config.json`, and `added_tokens.json` and the `added_tokens` of a `tokenizer.json` list those
that were added, the latter with all their properties.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bigbird_inference.manifest import LONGEST_ADDED_TOKEN, MOST_ADDED_TOKENS, AddedToken
from bigbird_inference.typed_fields import Unusable, flag, integer, items, mapping, string
from model_export.checkpoints.files import optional_file, read_json
from model_export.checkpoints.tokenizer_classes import TOKENIZER_JSON_FILE
from model_export.errors import CheckpointError

TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"
ADDED_TOKENS_FILE = "added_tokens.json"

SPECIAL_TOKENS = {"cls": "[CLS]", "sep": "[SEP]", "pad": "<pad>", "mask": "[MASK]"}
"""Pieces of the released vocabulary for what is put around and into texts."""
USUAL_SPECIAL_TOKENS = {**SPECIAL_TOKENS, "unk": "<unk>", "bos": "<s>", "eos": "</s>"}
"""Names of the tokens that steer the model by role, where the files give no others."""

_FLAGS = ("special", "single_word", "lstrip", "rstrip", "normalized")
_EXTRA = ("additional_special_tokens", "extra_special_tokens")


@dataclass(frozen=True, slots=True)
class SideFiles:
    """What stands beside a SentencePiece model.

    Attributes:
        roles: Names of the tokens that steer the model: `cls`, `sep`, `pad`, `mask`, `unk`, `bos`, `eos`.
        added: Every token that a file lists as added, the model's own pieces among them.
        mask_lstrip: Whether the white space before a mask belongs to the mask.
        listed_in: The file that lists the added tokens, if any does.
    """

    roles: dict[str, str]
    added: tuple[AddedToken, ...]
    mask_lstrip: bool
    listed_in: tuple[Path, ...]

    @classmethod
    def read(cls, folder: Path) -> "SideFiles":
        """Read the files of a folder, as far as they are there.

        Raises:
            CheckpointError: One cannot be read, or a field has another type; the message names both.
        """
        settings, named = _values(folder, TOKENIZER_CONFIG_FILE), _values(folder, SPECIAL_TOKENS_FILE)
        complete = "added_tokens_decoder" in settings
        values = {**named, **settings} if complete else {**settings, **named}
        roles = {role: _name(values.get(f"{role}_token")) or usual for role, usual in USUAL_SPECIAL_TOKENS.items()}
        special = {*roles.values(), *_extra_names(settings), *_extra_names(named)}
        sources = _LEGACY_SOURCES if not complete else {TOKENIZER_CONFIG_FILE: _of_decoder}
        added: dict[str, AddedToken] = {}
        listed_in = []
        for name, tokens_of in sources.items():
            try:
                found = list(tokens_of(_values(folder, name), special))
            except Unusable as error:
                raise CheckpointError(f"{folder / name}: {error}") from None
            added.update((token.content, token) for token in found)
            listed_in += [folder / name] if found else []
        if len(added) > MOST_ADDED_TOKENS:
            raise CheckpointError(f"{folder}: has {len(added)} added tokens, and at most {MOST_ADDED_TOKENS} are read")
        mask = added.get(roles["mask"])
        given = values.get("mask_token")
        lstrip = given.get("lstrip", False) is not False if isinstance(given, dict) else True
        return cls(
            roles,
            tuple(added.values()),
            lstrip if mask is None else mask.lstrip,
            tuple(listed_in),
        )

    def beside(self, pieces: Sequence[Any], vocab_size: int) -> list[AddedToken]:
        """Return the added tokens that are not the SentencePiece model's own.

        A piece that the model keeps from ordinary text is its own, also where transformers lists it as added. What
        steers the model is special, whatever the file says.

        Args:
            pieces: Those of the SentencePiece model.
            vocab_size: Rows of the model's word embeddings.

        Raises:
            CheckpointError: A text could hold a token that the model has no embedding of, or two have one id.
        """
        where = ", ".join(str(path) for path in self.listed_in)
        found: dict[int, AddedToken] = {}
        for token in self.added:
            special = token.special or token.content in self.roles.values()
            if _is_own(token, pieces, special):
                continue
            if token.id >= vocab_size:
                if special:
                    continue  # nobody adds it, and no text holds it
                raise CheckpointError(
                    f"{where}: the added token {token.content!r:.80} has the id {token.id}, but vocab_size is "
                    f"{vocab_size}: the model was not resized for it (model.resize_token_embeddings in transformers)"
                )
            if token.id in found:
                both = f"{found[token.id].content!r:.80} and {token.content!r:.80}"
                raise CheckpointError(f"{where}: the added tokens {both} both have the id {token.id}; take one out")
            found[token.id] = replace(token, special=special)
        return list(found.values())


def _is_own(token: AddedToken, pieces: Sequence[Any], special: bool) -> bool:
    """Tell whether a token is a piece that no ordinary text is cut into."""
    if token.id >= len(pieces) or pieces[token.id].piece != token.content:
        return False
    piece = pieces[token.id]
    return special or piece.type in (piece.USER_DEFINED, piece.CONTROL, piece.UNKNOWN)


def _values(folder: Path, name: str) -> dict[str, Any]:
    path = optional_file(folder, name)
    return {} if path is None else read_json(path)


def _name(token: object) -> str | None:
    """Return the name of a token, which stands there as a string or with its properties."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) and content else None


def _extra_names(values: Mapping[str, Any]) -> Iterator[str]:
    for field in _EXTRA:
        extra = values.get(field)
        for token in extra.values() if isinstance(extra, dict) else extra if isinstance(extra, list) else ():
            if (name := _name(token)) is not None:
                yield name


def _of_decoder(values: Mapping[str, Any], special: Set[str]) -> Iterator[AddedToken]:
    """Yield the tokens of `tokenizer_config.json`, which stand there by id."""
    for key, token in mapping(values["added_tokens_decoder"], "added_tokens_decoder").items():
        where = f"added_tokens_decoder[{key!r:.20}]"
        index = int(key) if key.isascii() and key.isdigit() and len(key) < 10 else -1
        yield from _described(index, mapping(token, where), where)


def _of_list(values: Mapping[str, Any], special: Set[str]) -> Iterator[AddedToken]:
    """Yield the tokens of a `tokenizer.json`."""
    for place, entry in enumerate(items(values.get("added_tokens", []), "added_tokens")):
        where = f"added_tokens[{place}]"
        token = mapping(entry, where)
        yield from _described(token.get("id"), token, where)


def _of_names(values: Mapping[str, Any], special: Set[str]) -> Iterator[AddedToken]:
    """Yield the tokens of an `added_tokens.json`, where ids stand by name."""
    for name, index in values.items():
        properties = {"content": name, "special": name in special, "normalized": name not in special}
        yield from _described(index, properties, f"{name!r:.80}")


def _described(index: object, token: Mapping[str, Any], where: str) -> Iterator[AddedToken]:
    content = string(token.get("content"), f"{where}.content")
    if len(content) > LONGEST_ADDED_TOKEN:
        raise Unusable(f"{where}.content: is longer than {LONGEST_ADDED_TOKEN} characters")
    # As transformers does, which finds no token in the middle of nothing, and normalises what is not special.
    if content:
        special = flag(token.get("special", False), f"{where}.special")
        defaults = {**dict.fromkeys(_FLAGS, False), "special": special, "normalized": not special}
        flags = {name: flag(token.get(name, default), f"{where}.{name}") for name, default in defaults.items()}
        yield AddedToken(content, integer(index, f"{where}.id", below=2**31), **flags)


_LEGACY_SOURCES = {ADDED_TOKENS_FILE: _of_names, TOKENIZER_JSON_FILE: _of_list}
