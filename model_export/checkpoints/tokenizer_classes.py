"""What transformers' class for a tokenizer makes of its vocabulary's file.

Older WordPiece checkpoints have only `vocab.txt`, of which `BertTokenizer` makes everything else. That class does so
even where there is a `tokenizer.json`, of which it takes the vocabulary alone. With any other class a `tokenizer.json`
is read as it stands.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bigbird_inference.tokenization.tokenizer_json import ids_of, model_kind
from bigbird_inference.typed_fields import Unusable, flag, mapping
from model_export.checkpoints.files import NOT_UTF8, read_json, read_vocabulary

TOKENIZER_JSON_FILE = "tokenizer.json"
VOCABULARY_FILE = "vocab.txt"

Json = dict[str, Any]

# Classes of transformers that are BertTokenizer by another name.
BERT_CLASSES = frozenset({"BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer"})
# They exist in Python alone, and what transformers does with their vocabulary depends on programs beside it.
_IN_PYTHON = frozenset({"BertJapaneseTokenizer"})
# Of a class with which transformers 5 reads the file as it stands; without "Fast".
_GENERAL_CLASSES = frozenset({"PreTrainedTokenizer", "TokenizersBackend"})


def complete(file: Path, settings: Json, class_name: str, names: Mapping[str, str]) -> tuple[Json, list[str]]:
    """Return the document as transformers' class for it has it, and in what it differs from the file.

    Args:
        file: A `tokenizer.json` or a `vocab.txt`.
        settings: What `tokenizer_config.json` says.
        class_name: Of the tokenizer, without "Fast"; empty where no file names it.
        names: The special tokens by role, as far as `settings` names them.

    Raises:
        Unusable: The class is none that can be followed; the message says why.
        CheckpointError: The file cannot be read.
    """
    if file.suffix == Path(VOCABULARY_FILE).suffix:
        if class_name not in BERT_CLASSES | {"", "BigBirdTokenizer", "PreTrainedTokenizer"}:
            raise Unusable(
                f"is the vocabulary of {class_name[:40]!r}, of which no file says what it does; if AutoTokenizer of "
                f"transformers can load it, its save_pretrained writes {TOKENIZER_JSON_FILE}"
            )
        return _as_bert_tokenizer(_lines(file), settings, names), []
    if class_name in _IN_PYTHON:
        raise Unusable(f"{class_name} cuts words with a program of its own before this vocabulary; no file says how")
    values = dict(read_json(file))
    if "model" not in values:
        raise Unusable(f"is not a tokenizer: it has no model; give a {TOKENIZER_JSON_FILE}, or the folder of one")
    model = values["model"] = dict(mapping(values.get("model"), "model"))
    if "type" not in model:  # files of long ago
        model["type"] = (
            "Unigram" if isinstance(model.get("vocab"), list) else "BPE" if "merges" in model else "WordPiece"
        )
    kind = model_kind(model)
    if values.get("decoder") is None:
        values["decoder"] = _decoder(values, kind)
    if kind != "WordPiece" or class_name not in BERT_CLASSES:
        return values, _remade(settings, class_name)
    remade = _as_bert_tokenizer(ids_of(model), settings, names)
    changes = [
        f"{TOKENIZER_JSON_FILE}: {name} is that of {class_name} with tokenizer_config.json, as in transformers, and "
        "not the file's"
        for name in ("normalizer", "pre_tokenizer")
        if values.get(name) != remade[name]
    ]
    return {
        **values,
        **{name: remade[name] for name in ("normalizer", "pre_tokenizer", "post_processor", "model")},
    }, changes


def _remade(settings: Json, class_name: str) -> list[str]:
    """Return a line if transformers 5 would not read the file as it stands; what it wrote itself is the same remade."""
    if class_name in _GENERAL_CLASSES or settings.get("backend") == "tokenizers":
        return []
    named = f"its class is {class_name[:40]}" if class_name else "no file names its class"
    return [
        f"{TOKENIZER_JSON_FILE}: is read as it stands, as in transformers 4; transformers 5 takes only its vocabulary, "
        f"as {named}, and may cut some texts otherwise"
    ]


def _as_bert_tokenizer(ids: Mapping[str, int], settings: Json, given: Mapping[str, str]) -> Json:
    """Return what transformers' BertTokenizer makes of a vocabulary."""
    accents = settings.get("strip_accents")
    names = {"cls": "[CLS]", "sep": "[SEP]", "unk": "[UNK]", **given}
    frame = {role: [names[role], ids.get(names[role])] for role in ("cls", "sep")}
    return {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": flag(settings.get("tokenize_chinese_chars", True), "tokenize_chinese_chars"),
            "strip_accents": None if accents is None else flag(accents, "strip_accents"),
            "lowercase": flag(settings.get("do_lower_case", True), "do_lower_case"),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", **frame}
        if all(index is not None for _, index in frame.values())
        else None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": names["unk"],
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": dict(ids),
        },
    }


def _lines(file: Path) -> dict[str, int]:
    try:
        lines = read_vocabulary(file).decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise Unusable(NOT_UTF8) from None
    if lines[-1] == "":
        lines.pop()
    return {line.rstrip(): index for index, line in enumerate(lines)}


def _decoder(values: Json, kind: str) -> Json:
    """Return how pieces are read where the file does not say it: by what cut the text."""
    text = str([values.get("normalizer"), values.get("pre_tokenizer")])
    if "'ByteLevel'" in text:
        return {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    if "'Metaspace'" in text:
        return {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    if kind == "WordPiece":
        prefix = values["model"].get("continuing_subword_prefix", "##")
        return {"type": "WordPiece", "prefix": prefix, "cleanup": True}
    return {"type": "Fuse"}
