"""A vocabulary that the `tokenizers` library runs: WordPiece, byte-pair or Unigram, as its `tokenizer.json` says.

The bundle's file is the checkpoint's, changed at export so that no text reaches a special token: the vocabulary is not
cut into one (`unreachable_tokens`), and none is an added token. That is proved from the file, not tried out. Nor is
there a post-processor, truncation or padding: ids around a text are added by `Tokenizer`.

The library gives positions in code points, but not as they are promised: the mark that stands for a space before a text
has the first character's, composed characters have those of their first part, and blanks are included.

Its batched calls release the interpreter's lock, the others do not. They would start a pool of threads, whose absence
after a fork it complains about, unless the environment tells it not to.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tokenizers

from bigbird_inference.bundle_files import read_small_file
from bigbird_inference.errors import BundleError
from bigbird_inference.tokenization.character_table import CharacterTable
from bigbird_inference.tokenization.encoded import Int64Array, TokenizedText
from bigbird_inference.tokenization.normal_form import SPACE_SYMBOL, code_points
from bigbird_inference.tokenization.token_spans import cover_joined, trim_blanks
from bigbird_inference.tokenization.tokenizer_json import check_components, model_kind
from bigbird_inference.tokenization.unreachable_tokens import (
    UNREACHABLE,
    check_unreachable,
    pieces_of,
    unreachable_names,
)
from bigbird_inference.tokenization.vocabulary import BLANK_OTHERS, MAX_VOCABULARY_BYTES, blank_table
from bigbird_inference.typed_fields import Unusable, mapping

# Tokens whose positions become Python objects at once, which happens inside the interpreter's lock.
_PART = 65_536
# Bytes that take a millisecond or two.
_QUICK = 4_096

_LIBRARY_SECTIONS = ("added_tokens", "normalizer", "pre_tokenizer", "model", "decoder")
_FORBIDDEN_SECTIONS = ("post_processor", "truncation", "padding")


@dataclass(frozen=True, slots=True)
class HuggingFaceVocabulary:
    """A loaded `tokenizer.json`, as `vocabulary.Vocabulary` asks for it.

    Attributes:
        tokenizer: The pipeline.
        characters: Its normaliser as a table; None if it cannot be one.
        without_normaliser: The rest of the pipeline, for texts that the table normalised.
        path: Where the file was read from, for messages.
        unk_id: The id of what the vocabulary does not hold; -1 if that is dropped.
        unreachable: Names of the special tokens by id.
        visible: Whether a piece holds a letter or a digit, bool `[pieces]`.
        is_blank: Whether a piece stands for nothing but white space, bool `[pieces]`.
        ordinary: Ids of the pieces that texts are made of, int64, ascending.
        blank: Whether a code point is whitespace, or normalised away or into a space; bool `[0x110000]`.
        visible_id: Some piece that shows something, before which others can be read; None if there is none.
    """

    tokenizer: Any
    characters: CharacterTable | None
    without_normaliser: Any
    path: Path
    unk_id: int
    unreachable: Mapping[int, str]
    visible: npt.NDArray[np.bool_]
    is_blank: npt.NDArray[np.bool_]
    ordinary: Int64Array
    blank: npt.NDArray[np.bool_]
    visible_id: int | None

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a bundle's `tokenizer.json`.

        Raises:
            BundleError: The file is missing, too large, holds what is not let through, or is refused by the library.
        """
        content = read_small_file(path.parent, path.name, MAX_VOCABULARY_BYTES)
        try:
            return cls._of(json.loads(content.decode("utf-8")), path)
        except Unusable as error:
            raise BundleError(f"{path}: {error}; export the checkpoint again") from None
        except RecursionError:
            raise BundleError(f"{path}: cannot be read as JSON: it is nested too deeply") from None
        except ValueError as error:
            raise BundleError(f"{path}: cannot be read as JSON: {error}") from error

    @classmethod
    def _of(cls, content: object, path: Path) -> Self:
        values = mapping(content, "the file")
        check_components(values)
        for name in _FORBIDDEN_SECTIONS:
            if values.get(name) is not None:
                raise Unusable(f"{name}: is not allowed in a bundle")
        unreachable = unreachable_names(values.get(UNREACHABLE))
        pieces = pieces_of(values["model"])
        check_unreachable(values["model"], unreachable)
        tokenizer = load_pipeline(values)
        pieces |= _check_added(values, tokenizer, unreachable)
        texts = _texts(tokenizer, [index for index in pieces if index not in unreachable])
        size = max([*pieces, *unreachable], default=-1) + 1
        unk_id = _unk_id(values["model"])
        visible = np.zeros(size, dtype=np.bool_)
        is_blank = np.zeros(size, dtype=np.bool_)
        for index, text in texts.items():
            visible[index] = any(letter.isalnum() and letter not in BLANK_OTHERS for letter in text)
            is_blank[index] = not text.strip()
        with _told_in_one_line():
            normaliser = tokenizer.normalizer
            blank = blank_table(str if normaliser is None else normaliser.normalize_str, _spaces(values))
        return cls(
            tokenizer=tokenizer,
            characters=_character_table(values, tokenizer),
            without_normaliser=_without_normaliser(tokenizer),
            path=path,
            unk_id=unk_id,
            unreachable=unreachable,
            visible=visible,
            is_blank=is_blank,
            ordinary=np.array(sorted(texts.keys() - {unk_id}), dtype=np.int64),
            blank=blank,
            visible_id=next((int(index) for index in np.flatnonzero(visible)), None),
        )

    @property
    def quick_bytes(self) -> int:
        return _QUICK

    def __len__(self) -> int:
        return len(self.visible)

    def ids(self, text: str, *, before_token: bool = False) -> Int64Array:
        pipeline, given, _ = self._prepared(text)
        with self._own_errors():
            (encoding,) = pipeline.encode_batch_fast([given], add_special_tokens=False)
            return np.array(encoding.ids, dtype=np.int64)

    def tokens(self, text: str, *, before_token: bool = False) -> TokenizedText:
        pipeline, given, origins = self._prepared(text)
        with self._own_errors():
            (encoding,) = pipeline.encode_batch([given], add_special_tokens=False)
            parts = [encoding]
            if len(encoding) > _PART:
                encoding.truncate(_PART)
                parts += encoding.overflowing
            ids = np.concatenate([np.array(part.ids, dtype=np.int64) for part in parts])
            offsets = np.concatenate([_offsets(part) for part in parts])
        if len(ids) == 0:
            return TokenizedText(ids, ids, ids)
        starts, ends = offsets[::2], offsets[1::2]
        if origins is not None:
            starts, ends = origins[starts], origins[np.maximum(ends, 1) - 1] + 1
        characters = code_points(text)
        ends = np.maximum.accumulate(np.clip(ends, 0, len(text)))
        starts = np.minimum(np.maximum.accumulate(np.clip(starts, 0, len(text))), ends)
        if not text.isascii():
            ends = cover_joined(starts, ends, characters)
        starts, ends = trim_blanks(starts, ends, self.blank[characters])
        return TokenizedText(ids, starts, np.where(self.is_blank[ids], starts, ends))

    def _prepared(self, text: str) -> tuple[Any, str, Int64Array | None]:
        """Return a pipeline, the text that it takes, and the code points of ours that its characters came from."""
        normal = None if self.characters is None else self.characters.apply(text)
        return (self.tokenizer, text, None) if normal is None else (self.without_normaliser, *normal)

    def begins_word(self, token_id: int) -> bool:
        return self._after_a_word(token_id).startswith(" ")

    def token_text(self, token_id: int) -> str:
        name = self.unreachable.get(token_id)
        return self._after_a_word(token_id).strip(" ") if name is None else name

    def _after_a_word(self, token_id: int) -> str:
        """Return what a token reads as behind a word, where it may have a space before it."""
        before = [] if self.visible_id is None else [self.visible_id]
        return self.text_after(np.array(before, dtype=np.int64), np.array([token_id]))

    def text_after(self, before: Int64Array, token_ids: Int64Array) -> str:
        ordinary = [token_id for token_id in token_ids.tolist() if token_id not in self.unreachable]
        earlier = self._decode(before.tolist())
        both = self._decode([*before.tolist(), *ordinary])
        return both[len(earlier) :] if both.startswith(earlier) else self._decode(ordinary)

    def _decode(self, ids: list[int]) -> str:
        with self._own_errors():
            return str(self.tokenizer.decode(ids, skip_special_tokens=False))

    def check_reserved(self, reserved: Mapping[str, int]) -> None:
        for role, token_id in reserved.items():
            if token_id not in self.unreachable or token_id == self.unk_id:
                raise BundleError(
                    f"{self.path}: the id {token_id} is the {role} token, but a text can contain it, or it is none; "
                    "export the checkpoint again"
                )
        if len(set(reserved.values())) != len(reserved):
            raise BundleError(f"{self.path}: the special tokens share an id: {dict(reserved)}")

    @contextmanager
    def _own_errors(self) -> Iterator[None]:
        """Name the file in whatever goes wrong in the library."""
        try:
            with _told_in_one_line():
                yield
        except Unusable as error:
            raise BundleError(f"{self.path}: {error}") from None


def _offsets(encoding: Any) -> Int64Array:
    """Return start and end of each token, one after the other, int64 `[2 * tokens]`."""
    return np.fromiter(chain.from_iterable(encoding.offsets), dtype=np.int64, count=2 * len(encoding))


def load_pipeline(values: Mapping[str, Any]) -> Any:
    """Let the library load a file whose components were checked.

    Raises:
        Unusable: It refuses the file.
    """
    kept = {"version": "1.0", **{name: values.get(name) for name in _LIBRARY_SECTIONS}}
    kept["added_tokens"] = kept["added_tokens"] or []
    with _told_in_one_line():
        return tokenizers.Tokenizer.from_str(json.dumps(kept))


@contextmanager
def _told_in_one_line() -> Iterator[None]:
    """Turn whatever goes wrong in the library into Unusable."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, MemoryError, Unusable):
        raise
    except BaseException as error:  # a panic of the library derives from BaseException
        raise Unusable(f"cannot be used by tokenizers: {' '.join(str(error).split())[:200]}") from None


def _unk_id(model: Mapping[str, Any]) -> int:
    if model_kind(model) == "Unigram":
        return int(model["unk_id"])
    return int(model["vocab"].get(model.get("unk_token"), -1))


def _check_added(values: Mapping[str, Any], tokenizer: Any, unreachable: Mapping[int, str]) -> dict[int, str]:
    """Return the added tokens by id, after a check that each is an ordinary one with the id that the file says."""
    added = {}
    for entry in values.get("added_tokens") or []:
        content, index = entry["content"], entry["id"]
        if entry["special"] or index in unreachable:
            raise Unusable(f"added_tokens: {content[:40]!r} is a special token, but a text can contain it")
        if tokenizer.token_to_id(content) != index:
            raise Unusable(f"added_tokens: {content[:40]!r} has the id {index}, which is another's or leaves a gap")
        added[index] = content
    return added


def _character_table(values: Mapping[str, Any], tokenizer: Any) -> CharacterTable | None:
    """Return the normaliser as a table if it is one that treats each character by itself, and alone sees the text."""
    kind = (values.get("normalizer") or {}).get("type")
    if kind != "BertNormalizer" or values.get("added_tokens"):
        return None
    with _told_in_one_line():
        return CharacterTable.of(tokenizer.normalizer.normalize_str)


def _without_normaliser(tokenizer: Any) -> Any:
    rest = tokenizers.Tokenizer(tokenizer.model)  # the model is shared, not copied
    if tokenizer.pre_tokenizer is not None:
        rest.pre_tokenizer = tokenizer.pre_tokenizer
    return rest


def _spaces(values: Mapping[str, Any]) -> str:
    """Return what stands for a space between normaliser and model."""
    pipeline = json.dumps([values.get("normalizer"), values.get("pre_tokenizer")], ensure_ascii=False)
    return f" {SPACE_SYMBOL}" if SPACE_SYMBOL in pipeline else " "


def _texts(tokenizer: Any, ids: list[int]) -> dict[int, str]:
    """Return what each piece reads as by itself."""
    with _told_in_one_line():
        texts = tokenizer.decode_batch([[index] for index in ids], skip_special_tokens=False)
    return dict(zip(ids, texts, strict=True))
