"""What a `tokenizer.json` may hold: components that are known, and sizes that no text can make expensive.

The file describes a pipeline of the `tokenizers` library: a normaliser, a pre-tokenizer, a model, a decoder. The
library trusts it. A wrong character map reads foreign memory, an expression can compute for ever, dropout draws ids by
lot, a section for truncation cuts texts in silence. So every component is looked at by name before the library sees the
file, at export and again where a bundle is loaded.
"""

import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from bigbird_inference.tokenization.charsmap import decode_charsmap
from bigbird_inference.tokenization.regular_expressions import is_harmless
from bigbird_inference.typed_fields import Unusable, flag, integer, items, mapping, string

MODEL_KINDS = ("WordPiece", "BPE", "Unigram")
LONGEST_PIECE = 512
"""In characters; far above any. It keeps the work on a text in proportion to its length."""

MOST_IDS = 2**24
# WordPiece tries every end for every beginning in a word: the library's own default is 100.
_LONGEST_WORD = 200
_LONGEST_AFFIX = 16
_MOST_STEPS = 32
_MOST_ADDED = 100_000
# A chain of steps that each make several characters of one grows a text without end. What a step makes of a character
# at most: no normal form has more than 18 (U+FDFA), and what is in one form hardly grows in another.
_LONGEST_FORM = 18
_NORMAL_FORMS = frozenset({"NFC", "NFD", "NFKC", "NFKD", "Precompiled"})
_GROWTH = {"BertNormalizer": 3, "ByteLevel": 4, "Lowercase": 2}
_MOST_GROWTH = 128
_MOST_CHARACTERS = 8_000_000

Json = Mapping[str, Any]


def check_components(values: Json) -> None:
    """Check everything of a file but its vocabulary.

    Args:
        values: The file, parsed.

    Raises:
        Unusable: A component is unknown, or a field has a value that could be harmful.
    """
    _Chain("normalizer", _NORMALIZERS, "normalizers").check(values.get("normalizer"))
    _Chain("pre_tokenizer", _PRE_TOKENIZERS, "pretokenizers").check(values.get("pre_tokenizer"))
    _Chain("decoder", _DECODERS, "decoders").check(values.get("decoder"))
    _MODELS[model_kind(mapping(values.get("model"), "model"))](values["model"])
    added = items(values.get("added_tokens") or [], "added_tokens")
    if len(added) > _MOST_ADDED:
        raise Unusable(f"added_tokens: holds {len(added)} tokens, more than {_MOST_ADDED}")
    for index, entry in enumerate(added):
        where = f"added_tokens[{index}]"
        token = mapping(entry, where)
        piece(token.get("content"), f"{where}.content")
        integer(token.get("id"), f"{where}.id", below=MOST_IDS)
        for name in ("single_word", "lstrip", "rstrip", "normalized", "special"):
            flag(token.get(name), f"{where}.{name}")
        if not token["content"].strip() and (token["lstrip"] or token["rstrip"]):
            raise Unusable(
                f"{where}: is white space that takes the white space beside it, which takes the library a time in "
                "proportion to the square of a text; set its lstrip and rstrip to false"
            )


def model_kind(model: Json) -> str:
    """Return the kind of model, a key of `MODEL_KINDS`.

    Raises:
        Unusable: It is another, or not named.
    """
    kind = model.get("type")
    if not isinstance(kind, str) or kind not in MODEL_KINDS:
        raise Unusable(f"model.type: {str(kind)[:40]!r} is not one of {', '.join(MODEL_KINDS)}")
    return str(kind)


def piece(value: object, where: str, *, empty: bool = False) -> str:
    """Return a string that can be a piece of a vocabulary."""
    text = string(value, where)
    if (not text and not empty) or len(text) > LONGEST_PIECE:
        raise Unusable(f"{where}: a piece is empty, or longer than {LONGEST_PIECE} characters")
    return text


def ids_of(model: Json) -> dict[str, int]:
    """Return the vocabulary of a WordPiece or byte-pair model, checked.

    Raises:
        Unusable: A piece or an id is none, or two pieces have the same id.
    """
    ids = dict(mapping(model.get("vocab"), "model.vocab"))
    seen: dict[int, str] = {}
    for text, index in ids.items():
        piece(text, "model.vocab", empty=True)
        other = seen.setdefault(integer(index, f"model.vocab[{text[:40]!r}]", below=MOST_IDS), text)
        if other != text:
            raise Unusable(f"model.vocab: {other[:40]!r} and {text[:40]!r} have the same id {index}")
    return ids


def scored_pieces(model: Json) -> list[tuple[str, float]]:
    """Return the vocabulary of a Unigram model, checked.

    Raises:
        Unusable: An entry is not a piece with its score.
    """
    pieces = []
    for index, entry in enumerate(items(model.get("vocab"), "model.vocab")):
        where = f"model.vocab[{index}]"
        if not isinstance(entry, list) or len(entry) != 2:
            raise Unusable(f"{where}: is not a piece and its score")
        # Also refuses what is not a number: NaN is not less than anything.
        if not isinstance(entry[1], int | float) or isinstance(entry[1], bool) or not abs(entry[1]) < 1e30:
            raise Unusable(f"{where}: its score is not a number, or too large")
        pieces.append((piece(entry[0], where, empty=True), float(entry[1])))
    return pieces


class _Chain:
    """A component, or a sequence of them, however they are nested."""

    def __init__(self, name: str, known: Mapping[str, Callable[[Json, str], int]], sequence: str) -> None:
        self._name = name
        self._known = known
        self._sequence = sequence
        self._steps = 0
        self._growth = 1
        self._growing: set[str] = set()

    def check(self, value: object) -> None:
        if value is not None:
            self._check(value, self._name)

    def _check(self, value: object, where: str) -> None:
        step = mapping(value, where)
        kind = step.get("type")
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise Unusable(f"{self._name}: holds more than {_MOST_STEPS} components")
        if kind == "Sequence":
            for index, inner in enumerate(items(step.get(self._sequence), f"{where}.{self._sequence}")):
                self._check(inner, f"{where}.{self._sequence}[{index}]")
            return
        if not isinstance(kind, str) or kind not in self._known:
            raise Unusable(f"{where}: {str(kind)[:40]!r} is not one of {', '.join(self._known)} or Sequence")
        self._growth *= self._known[kind](step, where) * self._own_growth(kind, where)
        if self._growth > _MOST_GROWTH:
            raise Unusable(f"{self._name}: its components make a text more than {_MOST_GROWTH} times as long")

    def _own_growth(self, kind: str, where: str) -> int:
        """Return what a component that always does the same makes of a character, at most; each may be there once."""
        if kind not in _GROWTH and kind not in _NORMAL_FORMS:
            return 1
        if kind in self._growing:
            raise Unusable(f"{where}: is a second {kind}, with which a text could grow without end")
        is_further_form = kind in _NORMAL_FORMS and not self._growing.isdisjoint(_NORMAL_FORMS)
        self._growing.add(kind)
        return 1 if is_further_form else _GROWTH.get(kind, _LONGEST_FORM)


def _nothing(step: Json, where: str) -> int:
    return 1


def _pattern(value: object, where: str) -> None:
    pattern = mapping(value, where)
    (kind, expression), *others = [*pattern.items()] or [("", None)]
    if others or kind not in ("String", "Regex"):
        raise Unusable(f"{where}: is neither a String nor a Regex")
    text = piece(expression, where)
    if kind == "Regex" and not is_harmless(text):
        raise Unusable(
            f"{where}: {text[:40]!r} is none of the regular expressions that are known to be quick on every text"
        )
    if kind == "String" and len(text) > _LONGEST_AFFIX:
        raise Unusable(f"{where}: is longer than {_LONGEST_AFFIX} characters")


def _replace(step: Json, where: str) -> int:
    _pattern(step.get("pattern"), f"{where}.pattern")
    content = _affix(step.get("content"), f"{where}.content")
    return max(1, len(unicodedata.normalize("NFKD", content)))


def _affix(value: object, where: str) -> str:
    text = string(value, where)
    if len(text) > _LONGEST_AFFIX:
        raise Unusable(f"{where}: is longer than {_LONGEST_AFFIX} characters")
    return text


def _prepend(step: Json, where: str) -> int:
    _affix(step.get("prepend"), f"{where}.prepend")
    return 1


def _precompiled(step: Json, where: str) -> int:
    name = f"{where}.precompiled_charsmap"
    try:
        decode_charsmap(string(step.get("precompiled_charsmap"), name))
    except ValueError as error:
        raise Unusable(f"{name}: {error}") from None
    return 1


def _split(step: Json, where: str) -> int:
    _pattern(step.get("pattern"), f"{where}.pattern")
    return 1


def _fixed_length(step: Json, where: str) -> int:
    if integer(step.get("length", 5), f"{where}.length", below=MOST_IDS) == 0:
        raise Unusable(f"{where}.length: is 0")
    return 1


_NORMALIZERS: dict[str, Callable[[Json, str], int]] = {
    "BertNormalizer": _nothing,
    "ByteLevel": _nothing,
    "Lowercase": _nothing,
    "NFC": _nothing,
    "NFD": _nothing,
    "NFKC": _nothing,
    "NFKD": _nothing,
    "Nmt": _nothing,
    "Precompiled": _precompiled,
    "Prepend": _prepend,
    "Replace": _replace,
    "Strip": _nothing,
    "StripAccents": _nothing,
}
_PRE_TOKENIZERS: dict[str, Callable[[Json, str], int]] = {
    "BertPreTokenizer": _nothing,
    "ByteLevel": _nothing,
    "Digits": _nothing,
    "FixedLength": _fixed_length,
    "Metaspace": _nothing,
    "Punctuation": _nothing,
    "Split": _split,
    "UnicodeScripts": _nothing,
    "Whitespace": _nothing,
    "WhitespaceSplit": _nothing,
}
_DECODERS: dict[str, Callable[[Json, str], int]] = {
    "BPEDecoder": _nothing,
    "ByteFallback": _nothing,
    "ByteLevel": _nothing,
    "Fuse": _nothing,
    "Metaspace": _nothing,
    "Replace": _replace,
    "Strip": _nothing,
    "WordPiece": _nothing,
}


def _check_word_piece(model: Json) -> None:
    ids = ids_of(model)
    _affix(model.get("continuing_subword_prefix"), "model.continuing_subword_prefix")
    longest = integer(model.get("max_input_chars_per_word"), "model.max_input_chars_per_word", below=MOST_IDS)
    if longest > _LONGEST_WORD:
        raise Unusable(f"model.max_input_chars_per_word: is {longest}, more than {_LONGEST_WORD}")
    if string(model.get("unk_token"), "model.unk_token") not in ids:
        raise Unusable("model.unk_token: is not in the vocabulary")


def _check_bpe(model: Json) -> None:
    ids = ids_of(model)
    for name in ("continuing_subword_prefix", "end_of_word_suffix"):
        _affix(model.get(name) or "", f"model.{name}")
    if model.get("dropout") not in (None, 0):
        raise Unusable("model.dropout: is set, so that the same text has other ids each time")
    if model.get("ignore_merges") not in (None, False):
        raise Unusable("model.ignore_merges: is true, which is not supported: a word could spell a special token")
    unk = model.get("unk_token")
    if unk is not None and string(unk, "model.unk_token") not in ids:
        raise Unusable("model.unk_token: is not in the vocabulary")
    items(model.get("merges"), "model.merges")


def _check_unigram(model: Json) -> None:
    pieces = scored_pieces(model)
    integer(model.get("unk_id"), "model.unk_id", below=len(pieces))
    if sum(len(text) for text, _ in pieces) > _MOST_CHARACTERS:
        raise Unusable(f"model.vocab: its pieces have more than {_MOST_CHARACTERS} characters")


_MODELS: dict[str, Callable[[Json], None]] = {
    "WordPiece": _check_word_piece,
    "BPE": _check_bpe,
    "Unigram": _check_unigram,
}
