"""What a tokenizer needs to know of a vocabulary, whichever library cuts texts with it.

There are two kinds. BigBird's own vocabularies are SentencePiece models (`sentencepiece_vocabulary`); WordPiece,
byte-pair and Unigram vocabularies of a `tokenizer.json` are run by the `tokenizers` library (`huggingface_vocabulary`).
Tasks see neither, but what is here.
"""

import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bigbird_inference.manifest import AddedToken, TokenizerKind
from bigbird_inference.tokenization.encoded import Int64Array, TokenizedText
from bigbird_inference.tokenization.normal_form import SPACE_SYMBOL

MAX_VOCABULARY_BYTES = 64 * 2**20
"""Far more than any has: 50,000 pieces take a megabyte."""

_BLANK_CATEGORIES = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
BLANK_OTHERS = frozenset({SPACE_SYMBOL, "\u3164", "\ufffd"})
"""Letters and symbols that show nothing, or stand for a space or for nothing known."""


class Vocabulary(Protocol):
    """A loaded and checked vocabulary; everything is safe to call from several threads."""

    @property
    def unk_id(self) -> int:
        """The id of characters that the vocabulary does not hold; -1 if it drops them."""
        ...

    @property
    def visible(self) -> npt.NDArray[np.bool_]:
        """Whether a piece surely shows something: it holds a letter or a digit; bool `[pieces]`."""
        ...

    @property
    def ordinary(self) -> Int64Array:
        """Ids of the pieces that texts are made of, ascending: no control piece, and not the unknown one."""
        ...

    @property
    def quick_bytes(self) -> int:
        """Bytes of UTF-8 of a text that is tokenised, with positions, in a millisecond or two.

        Not characters: some become eighteen others, and a text of nothing else takes thirty milliseconds.
        """
        ...

    def __len__(self) -> int:
        """Return the number of pieces; ids from here on have none."""
        ...

    def ids(self, text: str, *, before_token: bool = False) -> Int64Array:
        """Return the ids of a text's tokens, int64 `[tokens]`, computed outside the interpreter's lock.

        Args:
            text: Unicode without lone surrogates.
            before_token: Whether a token follows that is not cut out of this text. Then the space in front of it is a
                piece, as in transformers; SentencePiece drops it at the end of a text.
        """
        ...

    def tokens(self, text: str, *, before_token: bool = False) -> TokenizedText:
        """Return the same ids with their spans; `Tokenizer.tokenize` says what holds for those."""
        ...

    def begins_word(self, token_id: int) -> bool:
        """Tell whether a space stands before a token's text."""
        ...

    def token_text(self, token_id: int) -> str:
        """Return what a token alone reads as, without the space before or after it.

        Special pieces read as their names; an id without a piece as nothing; a byte that is not a character as U+FFFD.
        """
        ...

    def text_after(self, before: Int64Array, token_ids: Int64Array) -> str:
        """Return the text of tokens that follow others, with the space between the two where there is one.

        Special pieces and ids without a piece read as nothing.

        Args:
            before: Ids of the tokens before, int64 `[tokens]`.
            token_ids: Ids of the tokens to read, int64 `[tokens]`.
        """
        ...

    def check_reserved(self, reserved: Mapping[str, int]) -> None:
        """Make sure that no text is ever tokenised to one of the reserved ids.

        Args:
            reserved: Role ("cls", "sep", ...) to token id.

        Raises:
            BundleError: An id is outside the vocabulary, given twice, or can come out of text.
        """
        ...


def load_vocabulary(kind: TokenizerKind, path: Path, added: Sequence[AddedToken] = ()) -> Vocabulary:
    """Read a vocabulary; the library that runs it is imported only now.

    Args:
        kind: The library.
        path: The vocabulary's file.
        added: Tokens beside the pieces of a SentencePiece model; a `tokenizer.json` holds its own.

    Raises:
        BundleError: The file is missing, too large or unusable.
    """
    if kind == "tokenizers":
        from bigbird_inference.tokenization.huggingface_vocabulary import HuggingFaceVocabulary

        return HuggingFaceVocabulary.load(path)
    from bigbird_inference.tokenization.sentencepiece_vocabulary import SentencePieceVocabulary

    pieces = SentencePieceVocabulary.load(path)
    if not added:
        return pieces
    from bigbird_inference.tokenization.extended_vocabulary import ExtendedVocabulary

    return ExtendedVocabulary(pieces, added)


def blank_table(normalise: Callable[[str], str], spaces: str = f" {SPACE_SYMBOL}") -> npt.NDArray[np.bool_]:
    """Find the code points that are white space, or that a normaliser drops or turns into a space.

    Args:
        normalise: Returns the normal form of a text; asked only about characters that show nothing.
        spaces: What stands for a space in it.

    Returns:
        bool `[0x110000]`.
    """
    no_spaces = str.maketrans("", "", spaces)
    table = np.zeros(sys.maxunicode + 1, dtype=np.bool_)
    for code_point in _showing_nothing():
        character = chr(code_point)
        table[code_point] = character.isspace() or normalise(f"x{character}x").translate(no_spaces) == "xx"
    return table


@cache
def _showing_nothing() -> tuple[int, ...]:
    return tuple(
        code_point
        for code_point in (*range(0xD800), *range(0xE000, 0x10000), *range(0xE0000, 0xE0080))
        if chr(code_point).isspace()
        or unicodedata.category(chr(code_point)) in _BLANK_CATEGORIES
        or chr(code_point) in BLANK_OTHERS
    )
