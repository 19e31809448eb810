"""The tokenizer of a checkpoint without `spiece.model`, as one complete `tokenizer.json`.

transformers keeps a tokenizer in up to five files. `tokenizer.json` says how texts are cut; `tokenizer_config.json` and
`special_tokens_map.json` which tokens are special; `added_tokens.json` which were added. Older WordPiece checkpoints
have only `vocab.txt`, of which a class makes the rest (`tokenizer_classes`).

Here all of it becomes one file, in which every special token is marked as one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bigbird_inference.tokenization.tokenizer_json import (
    LONGEST_PIECE,
    MOST_IDS,
    check_components,
    ids_of,
    model_kind,
    piece,
    scored_pieces,
)
from bigbird_inference.typed_fields import Unusable, integer, items, mapping
from model_export.checkpoints.files import optional_file, read_json
from model_export.checkpoints.tokenizer_classes import (
    BERT_CLASSES,
    TOKENIZER_JSON_FILE,
    VOCABULARY_FILE,
    Json,
    complete,
)
from model_export.errors import CheckpointError, first_few

_SIDE_FILES = ("special_tokens_map.json", "tokenizer_config.json", "added_tokens.json")

# Roles, with the names that they usually have.
_ROLES: dict[str, tuple[str, ...]] = {
    "cls": ("[CLS]", "<s>", "<cls>"),
    "sep": ("[SEP]", "</s>", "<sep>"),
    "pad": ("<pad>", "[PAD]"),
    "mask": ("[MASK]", "<mask>"),
    "unk": ("[UNK]", "<unk>"),
    "bos": ("<s>", "[BOS]"),
    "eos": ("</s>", "[EOS]"),
}
_USUAL_NAMES = frozenset(name for names in _ROLES.values() for name in names)
_ADDED_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


@dataclass(frozen=True, slots=True)
class TokenizerDocument:
    """A complete `tokenizer.json`.

    Attributes:
        file: The vocabulary's file.
        side_files: The other files that were read.
        values: The document.
        special_tokens: Names of the special tokens by role (`cls`, `sep`, `pad`, `mask`), whether or not they exist.
        mask_lstrip: Whether the white space before a mask belongs to the mask.
        user_defined: User-defined pieces of the SentencePiece model that it was made from.
        changes: What was taken otherwise than it stands in the file, a line each.
    """

    file: Path
    side_files: tuple[Path, ...]
    values: Json
    special_tokens: dict[str, str]
    mask_lstrip: bool
    user_defined: tuple[str, ...]
    changes: tuple[str, ...]


def find_tokenizer_json(folder: Path, named_class: object = None, file: Path | None = None) -> TokenizerDocument | None:
    """Read the tokenizer of a folder from `tokenizer.json` or `vocab.txt`; None if it has neither.

    Args:
        folder: The checkpoint.
        named_class: The tokenizer's class that `config.json` names; `tokenizer_config.json` may name another.
        file: Which of the two it is, if that was said.

    Raises:
        CheckpointError: A file cannot be read, or holds what the service would not run; the message names the field.
    """
    file = file or optional_file(folder, TOKENIZER_JSON_FILE) or optional_file(folder, VOCABULARY_FILE)
    if file is None:
        return None
    paths = {name: optional_file(folder, name) for name in _SIDE_FILES}
    sides = {name: {} if path is None else read_json(path) for name, path in paths.items()}
    settings = sides["tokenizer_config.json"]
    class_name = str(settings.get("tokenizer_class") or named_class or "").removesuffix("Fast")
    try:
        values, changes = complete(file, settings, class_name, _named(settings))
        names = _named(sides["special_tokens_map.json"]) | _named(settings)
        if class_name not in BERT_CLASSES:
            frame, lines = _frame(values.get("post_processor"))
            names |= frame
            changes += lines
        _add_tokens(values, settings, sides["added_tokens.json"], names)
        special = _mark_special(values, names, _extra_names(settings) | _extra_names(sides["special_tokens_map.json"]))
        values["truncation"] = values["padding"] = None
        check_components(values)
        _check_not_bare(values)
    except Unusable as error:
        raise CheckpointError(f"{file}: {error}") from None
    tokens = {role: names.get(role) or _usual(role, special) for role in ("cls", "sep", "pad", "mask")}
    user_defined = _user_defined(values, {*tokens.values(), *_USUAL_NAMES})
    # transformers 5 lists user-defined pieces as special, too, in another file.
    extra = [name for name in special if name not in {*_USUAL_NAMES, *names.values(), *user_defined}]
    if extra:
        changes += [
            f"special tokens that are ordinary characters where a text holds them: {', '.join(first_few(extra))}"
        ]
    read = tuple(path for path in paths.values() if path is not None)
    mask_lstrip = any(token["lstrip"] for token in values["added_tokens"] if token["content"] == tokens["mask"])
    return TokenizerDocument(file, read, values, tokens, mask_lstrip, user_defined, tuple(changes))


def _user_defined(values: Json, steering: set[str]) -> tuple[str, ...]:
    """Return the pieces that transformers writes as added tokens that are taken verbatim."""
    own = len(values["model"]["vocab"]) if values["model"]["type"] == "Unigram" else 0
    return tuple(
        token["content"]
        for token in values["added_tokens"]
        if token["id"] < own and not token["normalized"] and token["content"] not in steering
    )


def _content(value: object) -> str | None:
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) and 0 < len(text) <= LONGEST_PIECE else None


def _named(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the special tokens by role, as a configuration names them."""
    found = {role: _content(values.get(f"{role}_token")) for role in _ROLES}
    return {role: text for role, text in found.items() if text is not None}


def _extra_names(values: Mapping[str, Any]) -> set[str]:
    """Return the special tokens that have no role."""
    names: set[str] = set()
    for field in ("additional_special_tokens", "extra_special_tokens"):
        listed = values.get(field) or []
        entries = listed.values() if isinstance(listed, dict) else listed if isinstance(listed, list) else []
        names |= {text for text in map(_content, entries) if text is not None}
    return names


def _frame(value: object) -> tuple[dict[str, str], list[str]]:
    """Return the tokens that transformers puts before and after a text, and where the service does otherwise."""
    for step in _steps(value):
        kind = step.get("type")
        if kind in ("BertProcessing", "RobertaProcessing"):
            pairs = {role: items(step.get(role), f"post_processor.{role}") for role in ("cls", "sep")}
            names = {role: piece(pair[0] if pair else None, "post_processor") for role, pair in pairs.items()}
            return names, []
        if kind == "TemplateProcessing":
            single = [_template_item(entry) for entry in items(step.get("single"), "post_processor.single")]
            if len(single) == 3 and single[1] is None and single[0] is not None and single[2] is not None:
                return {"cls": single[0], "sep": single[2]}, []
            break
    return {}, ["texts stand between [CLS] and [SEP], although tokenizer.json puts something else around them"]


def _steps(value: object) -> list[Mapping[str, Any]]:
    if value is None:
        return []
    outer = mapping(value, "post_processor")
    if outer.get("type") != "Sequence":
        return [outer]
    inner = items(outer.get("processors"), "post_processor.processors")
    return [mapping(step, "post_processor.processors") for step in inner]


def _template_item(value: object) -> str | None:
    """Return a special token of a template, or None for the text."""
    special = mapping(value, "post_processor.single").get("SpecialToken")
    if special is None:
        return None
    return piece(mapping(special, "post_processor.single").get("id"), "post_processor.single")


def _add_tokens(values: Json, settings: Json, added: Json, names: Mapping[str, str]) -> None:
    """Put the added tokens of the other files into the document, as transformers does."""
    tokens = [dict(mapping(entry, "added_tokens")) for entry in items(values.get("added_tokens") or [], "added_tokens")]
    present = {str(token.get("content")) for token in tokens}
    found: dict[int, Json] = {}
    for key, entry in mapping(settings.get("added_tokens_decoder") or {}, "added_tokens_decoder").items():
        index = integer(int(key) if key.isdigit() and len(key) < 10 else -1, "added_tokens_decoder", below=MOST_IDS)
        found[index] = {**dict(mapping(entry, "added_tokens_decoder")), "id": index}
    listed = {str(token.get("content")) for token in found.values()}
    for content, value in added.items():
        if content not in listed:
            index = integer(value, f"added_tokens.json: {content[:40]!r}", below=MOST_IDS)
            special = content in names.values()
            found[index] = {"id": index, "content": content, "special": special, "normalized": not special}
    for _, token in sorted(found.items()):
        if token.get("content") not in present:
            tokens.append({**dict.fromkeys(_ADDED_FLAGS, False), **token})
    for token in tokens:
        piece(token.get("content"), "added_tokens: content")
    values["added_tokens"] = sorted(
        ({name: token.get(name) for name in ("id", "content", *_ADDED_FLAGS)} for token in tokens),
        key=lambda token: integer(token["id"], "added_tokens", below=MOST_IDS),
    )


def _mark_special(values: Json, names: Mapping[str, str], extra: set[str]) -> list[str]:
    """Mark every special token as one, those of the vocabulary included; return their names, by id."""
    model = values["model"]
    if model_kind(model) == "Unigram":
        pieces = [text for text, _ in scored_pieces(model)]
        ids = {text: index for index, text in reversed([*enumerate(pieces)])}
        unknown = pieces[integer(model.get("unk_id"), "model.unk_id", below=len(pieces))]
    else:
        ids = ids_of(model)
        unknown = model.get("unk_token")
    special = {*names.values(), *extra, *_USUAL_NAMES} | ({unknown} if isinstance(unknown, str) else set())
    tokens: list[Json] = values["added_tokens"]
    for token in tokens:
        token["special"] = token["special"] is True or token["content"] in special
    present = {token["content"] for token in tokens}
    for name in sorted(special - present, key=lambda name: ids.get(name, -1)):
        if name in ids and name:
            marked = {**dict.fromkeys(_ADDED_FLAGS, False), "id": ids[name], "content": name, "special": True}
            tokens.append(marked)
    tokens.sort(key=lambda token: int(token["id"]))
    return [str(token["content"]) for token in tokens if token["special"]]


def _check_not_bare(values: Json) -> None:
    held = len(values["model"]["vocab"])
    special = sum(token["special"] for token in values["added_tokens"])
    if held <= special:
        raise Unusable(
            f"model.vocab: holds {held} pieces and none for ordinary text; BigBirdTokenizer(vocab_file=...) of "
            "transformers 5 makes such a tokenizer, from_pretrained does not"
        )


def _usual(role: str, special: list[str]) -> str:
    return next((name for name in _ROLES[role] if name in special), _ROLES[role][0])
