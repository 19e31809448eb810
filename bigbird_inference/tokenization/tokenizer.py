"""Text to token ids with positions, and token ids to model inputs.

The first step of every request after its task was chosen. Text is data: the ids that steer the model (CLS, SEP,
mask) are added here and never come out of a text, which is checked when a model file is loaded.

The text of a bundle's known answer is tokenised again on the machine that serves: the tokenizer's file has a hash, the
library that reads it has none. Another build may normalise or cut a text differently, and then every answer is a
little wrong and every position may be.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from bigbird_inference.bundle import Bundle
from bigbird_inference.errors import BundleError, InvalidInput
from bigbird_inference.manifest import AddedToken, TokenizerFile, TokenizerKind, TokenTypes
from bigbird_inference.tokenization.encoded import EncodedSequence, Int64Array, TokenizedText
from bigbird_inference.tokenization.letter_case import case_types
from bigbird_inference.tokenization.vocabulary import Vocabulary, load_vocabulary


def check_known_tokens(expected: Sequence[int], found: Sequence[int]) -> None:
    """Compare the tokens of a text with those that it had at export.

    Raises:
        BundleError: They differ; the message names the first that does.
    """
    if list(expected) == list(found):
        return
    pairs = enumerate(zip(expected, found, strict=False))
    shorter = min(len(expected), len(found))
    place = next((place for place, (wanted, actual) in pairs if wanted != actual), shorter)
    wanted, actual = (ids[place] if place < len(ids) else "none" for ids in (expected, found))
    raise BundleError(
        f"the text of the known answer is not tokenised as at export: token {place} is {actual}, expected {wanted}; "
        "this build of the tokenizer's library does something else"
    )


SINGLE_SPECIAL_TOKENS = 2
"""`[CLS] A [SEP]`."""

PAIR_SPECIAL_TOKENS = 3
"""`[CLS] A [SEP] B [SEP]`."""


class Tokenizer:
    """A vocabulary and the special ids of one model.

    The vocabulary's file is read on first use; `load` reads it at once. Everything is safe to call from several
    threads.
    """

    def __init__(
        self,
        model_file: Path,
        cls_id: int,
        sep_id: int,
        pad_id: int,
        mask_id: int | None = None,
        kind: TokenizerKind = "sentencepiece",
        *,
        mask_lstrip: bool = True,
        added_tokens: Sequence[AddedToken] = (),
        token_types: TokenTypes = "segments",
    ) -> None:
        self.model_file = model_file
        self.kind = kind
        self.cls_id = cls_id
        self.sep_id = sep_id
        self.pad_id = pad_id
        self.mask_id = mask_id
        self.mask_lstrip = mask_lstrip
        self.added_tokens = added_tokens
        self.token_types = token_types

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self:
        """Load the tokenizer that a bundle carries.

        Raises:
            BundleError: The model file is unusable, text could produce a special id, or the text of the known answer
                has other tokens than at export.
        """
        file = bundle.manifest.tokenizer
        path = bundle.path(file.file)
        tokenizer = cls.of_file(file, path).load()
        known = bundle.manifest.known_answer
        if known is not None:
            try:
                check_known_tokens(known.token_ids, tokenizer.tokenize_without_positions(known.text).ids.tolist())
            except (BundleError, InvalidInput) as error:
                raise BundleError(f"{path}: {error}") from error
        return tokenizer

    @classmethod
    def of_file(cls, file: TokenizerFile, path: Path) -> Self:
        """Return the tokenizer that a manifest describes, whose file lies at a path."""
        return cls(
            path,
            file.cls_id,
            file.sep_id,
            file.pad_id,
            file.mask_id,
            file.kind,
            mask_lstrip=file.mask_lstrip,
            added_tokens=file.added_tokens,
            token_types=file.token_types,
        )

    def load(self) -> Self:
        """Read and check the model file now, so that a bad one stops start-up rather than a request.

        Raises:
            BundleError: The model file is unusable, or text could produce a special id.
        """
        _ = self.vocabulary
        return self

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The loaded and checked vocabulary."""
        vocabulary = load_vocabulary(self.kind, self.model_file, self.added_tokens)
        # Padding needs no such protection: it is masked by position, whatever its id.
        reserved = {"cls": self.cls_id, "sep": self.sep_id}
        if self.mask_id is not None:
            reserved["mask"] = self.mask_id
        vocabulary.check_reserved(reserved)
        return vocabulary

    def tokenize(self, text: str, *, before_token: bool = False) -> TokenizedText:
        """Tokenise a text, with the code points that every token stands for.

        Spans hold whole code points and neither begin nor end with a blank, so any non-empty one can be printed as it
        is. Pieces of one character (bytes, parts of a ligature) all have that character's span. A piece that is only
        a space has an empty span. Characters that the normaliser drops belong to no span, or lie inside one.

        Args:
            text: The text, or the part of one before a token that is put there.
            before_token: Whether it is such a part: `Vocabulary.ids` says what becomes of a space at its end.

        Raises:
            InvalidInput: The text holds a lone surrogate, so it is not Unicode.
        """
        check_unicode(text)
        tokens = self.vocabulary.tokens(text, before_token=before_token)
        if self.token_types == "case":
            return replace(tokens, types=case_types(text, tokens.starts, tokens.ends))
        return tokens

    def tokenize_without_positions(self, text: str) -> TokenizedText:
        """Tokenise a text to the same ids in half the time, for tasks that show nothing of it.

        Raises:
            InvalidInput: As in `tokenize`.
        """
        check_unicode(text)
        nowhere = np.empty(0, dtype=np.int64)
        return TokenizedText(self.vocabulary.ids(text), nowhere, nowhere)

    def shows_text(self, tokens: TokenizedText) -> bool:
        """Tell from ids alone whether some token surely stands for something visible."""
        return bool(self.vocabulary.visible[tokens.ids].any())

    def single(self, ids: Int64Array, types: Int64Array | None = None) -> EncodedSequence:
        """Build `[CLS] ids [SEP]`; every token type is 0 but those of the text that are given."""
        input_ids = np.concatenate(([self.cls_id], ids, [self.sep_id])).astype(np.int64)
        token_type_ids = np.zeros(len(input_ids), dtype=np.int64)
        if types is not None:
            token_type_ids[1:-1] = types
        return EncodedSequence(input_ids, token_type_ids)

    def pair(self, first_ids: Int64Array, second_ids: Int64Array, *, segments: bool = True) -> EncodedSequence:
        """Build `[CLS] first [SEP] second [SEP]`.

        Token types are 1 from the second's first token through the last [SEP], or all 0 without `segments`.
        """
        parts = ([self.cls_id], first_ids, [self.sep_id], second_ids, [self.sep_id])
        input_ids = np.concatenate(parts).astype(np.int64)
        token_type_ids = np.zeros(len(input_ids), dtype=np.int64)
        if segments:
            token_type_ids[len(first_ids) + 2 :] = 1
        return EncodedSequence(input_ids, token_type_ids)


def check_unicode(text: str, name: str = "the text") -> None:
    """Refuse a string with a lone surrogate, which JSON can carry and UTF-8 cannot.

    Raises:
        InvalidInput: The message names the field and the position, not the text.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{name} is not valid Unicode: half of a surrogate pair stands alone at position {error.start}"
        ) from None
