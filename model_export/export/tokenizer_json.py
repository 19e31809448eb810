"""A `tokenizer.json` as the bundle holds it: no special token of it can be called up from a user's text.

The library finds added tokens anywhere in a text, so the special ones are taken out. Their entries in the vocabulary
get names that no text can be cut into, at the same ids (`unreachable_tokens` proves it when a bundle is loaded). A
byte-pair merge that makes one is dropped.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bigbird_inference.tokenization.huggingface_vocabulary import load_pipeline
from bigbird_inference.tokenization.tokenizer_json import model_kind
from bigbird_inference.tokenization.unreachable_tokens import UNREACHABLE, UNREACHABLE_LENGTH, merged_pieces
from bigbird_inference.typed_fields import Unusable
from model_export.errors import CheckpointError
from model_export.export.tokenizer import WHERE_NAMED, SpecialIds

# For private use, so without a meaning; the length is what counts.
_FILLER = "\ue000"

Json = dict[str, Any]


def write_tokenizer_json(
    document: bytes, source: Path, destination: Path, pieces: Mapping[str, str], vocab_size: int
) -> SpecialIds:
    """Write the bundle's `tokenizer.json`.

    Args:
        document: The checkpoint's, with every special token marked (`model_export.checkpoints.tokenizer_json`).
        source: The file that it came from, for messages.
        destination: The file to write.
        pieces: The special tokens by role: `cls`, `sep`, `mask`; the last may be missing.
        vocab_size: Rows of the model's word embeddings.

    Raises:
        CheckpointError: The library refuses the file, it lacks a special token, has ids without embeddings, or an added
            token with an id that the library would not give it.
    """
    values = json.loads(document)
    special = {token["content"]: int(token["id"]) for token in values["added_tokens"] if token["special"]}
    words = {token["content"]: int(token["id"]) for token in values["added_tokens"] if not token["special"]}
    missing = [f"{role} {pieces[role]!r:.80}" for role in ("cls", "sep") if pieces[role] not in special]
    if missing:
        raise CheckpointError(f"{source}: lacks the special tokens {', '.join(missing)}; {WHERE_NAMED}")
    vocab = values["model"]["vocab"]
    largest = max([len(vocab) - 1, *special.values(), *words.values()])
    if not isinstance(vocab, list):
        largest = max(largest, *vocab.values())
    if largest >= vocab_size:
        raise CheckpointError(f"{source}: has the id {largest}, but vocab_size is {vocab_size}")
    try:
        values = unreachable(values, special, words)
        pipeline = load_pipeline(values)
    except Unusable as error:
        raise CheckpointError(f"{source}: {error}") from None
    for content, index in words.items():
        if index in special.values() or pipeline.token_to_id(content) != index:
            raise CheckpointError(
                f"{source}: the added token {content!r:.80} has the id {index}, which is another's or leaves a gap; "
                "take it out, or give it the id that follows on the others, here and in the files beside it"
            )
    destination.write_text(json.dumps(values), encoding="ascii")
    return SpecialIds(special[pieces["cls"]], special[pieces["sep"]], special.get(pieces["mask"]))


def unreachable(values: Json, special: Mapping[str, int], words: Mapping[str, int]) -> Json:
    """Return a document in which no text reaches a special token.

    Args:
        values: The document.
        special: Ids of the special tokens.
        words: Ids of the other added tokens.
    """
    model = dict(values["model"])
    kind = model_kind(model)
    # The library counts the ids of added tokens on from the vocabulary's size. Below the last of them there must be no
    # gap where a special token was; what is above needs no entry.
    after = [index for index in special.values() if any(index < other for other in words.values())]
    filled = max(after, default=-1)
    names = {index: _name(index, content) for content, index in special.items()}
    if kind == "Unigram":
        model["vocab"] = _scored(model["vocab"], {index: "" for index in names}, words, filled)
    else:
        original = {index: content for content, index in model["vocab"].items()}
        kept = {index: content for index, content in original.items() if index not in names}
        kept |= {index: content for content, index in words.items() if index <= filled}
        kept |= {index: name for index, name in names.items() if index in original or index <= filled}
        model["vocab"] = {content: index for index, content in sorted(kept.items())}
        unk = model.get("unk_token")
        if isinstance(unk, str) and unk in special:
            model["unk_token"] = names[special[unk]]
        if kind == "BPE":
            model["merges"] = _merges(model, special.keys())
    added = [token for token in values["added_tokens"] if not token["special"]]
    listed = {str(index): content for content, index in sorted(special.items(), key=lambda item: item[1])}
    kept = {name: values.get(name) for name in ("normalizer", "pre_tokenizer", "decoder")}
    return {"version": "1.0", **kept, "added_tokens": added, "model": model, UNREACHABLE: listed}


def _name(index: int, content: str) -> str:
    return f"{index} {content[:100]}".ljust(UNREACHABLE_LENGTH, _FILLER)


def _scored(vocab: list[Any], names: Mapping[int, str], words: Mapping[str, int], filled: int) -> list[list[Any]]:
    """Return the scored pieces; the scores stay, because the least of them is part of the unknown piece's."""
    lowest = min(score for _, score in vocab)
    scored = [[names.get(index, text), score] for index, (text, score) in enumerate(vocab)]
    texts = {index: content for content, index in words.items()}
    scored += [[texts.get(index, ""), lowest] for index in range(len(vocab), filled + 1)]
    return scored


def _merges(model: Json, special: Any) -> list[Any]:
    prefix = len(model.get("continuing_subword_prefix") or "")
    kept = []
    for index, entry in enumerate(model["merges"]):
        left, right = merged_pieces(entry, f"model.merges[{index}]")
        if not {left, right, left + right[prefix:]} & special:
            kept.append(entry)
    return kept
