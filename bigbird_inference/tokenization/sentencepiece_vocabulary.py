"""The SentencePiece model of a bundle, with the facts about it that offsets and safety depend on.

`SentencePieceVocabulary.load` runs once at start-up. It refuses a file that SentencePiece cannot read, and
`check_reserved` refuses a model in which a user's text could produce one of the ids that only the service may add.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import sentencepiece

from bigbird_inference.bundle_files import read_small_file
from bigbird_inference.errors import BundleError
from bigbird_inference.tokenization.encoded import Int64Array, TokenizedText
from bigbird_inference.tokenization.normal_form import SPACE_SYMBOL, NormalForm, code_points, normalise
from bigbird_inference.tokenization.offsets import share_split_characters, split_characters, token_spans, trim_blanks
from bigbird_inference.tokenization.vocabulary import BLANK_OTHERS, MAX_VOCABULARY_BYTES, blank_table


@dataclass(frozen=True, slots=True)
class SentencePieceVocabulary:
    """A loaded SentencePiece model, as `vocabulary.Vocabulary` asks for it.

    Attributes:
        processor: The model; encoding with it from several threads is safe.
        path: Where it was read from, for messages.
        unk_id: The id of a run of characters that the vocabulary does not hold.
        piece_lengths: Normalised characters that each piece stands for, int64 `[pieces]`. The first byte piece of a
            character counts 1, its other byte pieces 0; the unknown piece has no fixed length and counts 0.
        visible: Whether a piece holds a letter or a digit, bool `[pieces]`.
        own_piece: Whether a character is a piece by itself, bool `[0x110000]`.
        blank: Whether a code point is whitespace, or normalised away or into a space; bool `[0x110000]`.
    """

    processor: Any
    path: Path
    unk_id: int
    piece_lengths: Int64Array
    visible: npt.NDArray[np.bool_]
    own_piece: npt.NDArray[np.bool_]
    blank: npt.NDArray[np.bool_]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a SentencePiece model.

        Raises:
            BundleError: The file is missing, too large or no SentencePiece model.
        """
        content = read_small_file(path.parent, path.name, MAX_VOCABULARY_BYTES)
        processor = sentencepiece.SentencePieceProcessor()
        try:
            processor.LoadFromSerializedProto(content)
            size = int(processor.get_piece_size())
            visible = [_is_visible(processor, piece_id) for piece_id in range(size)]
            lengths = [_piece_length(processor, piece_id) for piece_id in range(size)]
            own_piece = _own_pieces(processor)
            blank = blank_table(processor.normalize)
        except (RuntimeError, ValueError) as error:  # ValueError: a piece, or a normal form, that is no UTF-8
            raise BundleError(f"{path}: cannot be read as a SentencePiece model: {error}") from error
        return cls(
            processor=processor,
            path=path,
            unk_id=int(processor.unk_id()),
            piece_lengths=np.array(lengths, dtype=np.int64),
            visible=np.array(visible, dtype=np.bool_),
            own_piece=own_piece,
            blank=blank,
        )

    def __len__(self) -> int:
        """Return the number of pieces; ids from here on have none."""
        return len(self.piece_lengths)

    @property
    def ordinary(self) -> Int64Array:
        never = (self.processor.is_control, self.processor.is_unused, self.processor.is_unknown)
        ids = [token for token in range(len(self)) if not any(kind(token) for kind in never)]
        return np.array(ids, dtype=np.int64)

    def ids(self, text: str) -> Int64Array:
        return np.asarray(self.processor.encode(text, return_type="numpy"), dtype=np.int64)

    def tokens(self, text: str) -> TokenizedText:
        ids = self.ids(text)
        if len(ids) == 0:
            return TokenizedText(ids, ids, ids)
        normal = normalise(self.processor, text)
        lengths = self.lengths_of(ids, text, normal)
        starts, ends = token_spans(lengths, normal.offsets)
        split_after = np.zeros(len(ids), dtype=np.bool_)
        if not text.isascii():
            split_after = split_characters(lengths, normal.offsets)
        shared_ends = share_split_characters(starts, ends, split_after)
        if starts[0] == ends[0] and lengths[0] == 1 and normal.characters[0] == ord(SPACE_SYMBOL):
            shared_ends[0] = ends[0]  # the space that SentencePiece puts before a text is no part of it
        return TokenizedText(ids, *trim_blanks(starts, shared_ends, self.blank[code_points(text)]))

    def lengths_of(self, ids: Int64Array, text: str, normal: NormalForm) -> Int64Array:
        """Return how many characters of a text's normal form each of its tokens stands for.

        SentencePiece joins neighbouring unknown characters, none of which is a piece by itself, to one token. If no
        longer piece holds such a character either, the unknown tokens are the runs of them, and all lengths add up.
        Otherwise SentencePiece is asked for the pieces as strings: one Python object for each token.

        Args:
            ids: All tokens of the text, int64 `[tokens]`.
            text: The text.
            normal: Its normal form.

        Returns:
            int64 `[tokens]`, as `piece_lengths` has them.

        Raises:
            BundleError: The pieces are not as long as the normal form, so this is no usable vocabulary.
        """
        lengths = self.piece_lengths[ids]
        unknown = ids == self.unk_id
        if unknown.any():
            runs = _run_lengths(~self.own_piece[normal.characters])
            if len(runs) == np.count_nonzero(unknown):
                lengths[unknown] = runs
        if lengths.sum() != len(normal.characters):
            lengths = self._lengths_of_strings(ids, text)
            if lengths.sum() != len(normal.characters):
                raise BundleError(f"{self.path}: the pieces of a text are longer or shorter than it; export again")
        return lengths

    def _lengths_of_strings(self, ids: Int64Array, text: str) -> Int64Array:
        pieces = self.processor.encode(text, return_type=bytes)
        lengths = np.fromiter((len(piece.decode()) for piece in pieces), dtype=np.int64, count=len(pieces))
        byte_ids = [piece_id for piece_id in np.unique(ids).tolist() if self.processor.is_byte(piece_id)]
        return np.where(np.isin(ids, byte_ids), self.piece_lengths[ids], lengths)

    def begins_word(self, token_id: int) -> bool:
        return token_id < len(self) and self.processor.id_to_piece(token_id).startswith(SPACE_SYMBOL)

    def token_text(self, token_id: int) -> str:
        if token_id >= len(self):
            return ""
        if self.processor.is_byte(token_id):
            return str(self.processor.decode([token_id]))
        return str(self.processor.id_to_piece(token_id)).replace(SPACE_SYMBOL, " ").strip(" ")

    def text_after(self, before: Int64Array, token_ids: Int64Array) -> str:
        ordinary = [token_id for token_id in token_ids.tolist() if token_id < len(self) and not self._inert(token_id)]
        earlier = str(self.processor.decode(before.tolist()))
        both = str(self.processor.decode([*before.tolist(), *ordinary]))
        return both[len(earlier) :] if both.startswith(earlier) else str(self.processor.decode(ordinary))

    def check_reserved(self, reserved: Mapping[str, int]) -> None:
        # SentencePiece never produces control and unused pieces from text; it does produce user-defined ones, which is
        # what "[SEP]" is in the released vocabulary until the export re-types it.
        size = len(self.piece_lengths)
        for role, token_id in reserved.items():
            if not 0 <= token_id < size:
                raise BundleError(f"{self.path}: {role}_id is {token_id}, but the vocabulary holds {size} pieces")
            piece = self.processor.id_to_piece(token_id)
            probe = f"{piece} x{piece}x {piece}{piece}"
            if not self._inert(token_id) or token_id in self.processor.encode(probe, return_type=int):
                raise BundleError(
                    f"{self.path}: the piece {piece!r} (id {token_id}) is the {role} token, but a text can contain it; "
                    "it must be a control or an unused piece"
                )
        if len(set(reserved.values())) != len(reserved):
            raise BundleError(f"{self.path}: the special tokens share an id: {dict(reserved)}")

    def _inert(self, token_id: int) -> bool:
        """Tell whether no text is tokenised to a piece, by its kind."""
        return bool(self.processor.is_control(token_id) or self.processor.is_unused(token_id))


def _is_visible(processor: Any, piece_id: int) -> bool:
    ordinary = not (processor.is_unknown(piece_id) or processor.is_byte(piece_id) or processor.is_control(piece_id))
    letters = set(filter(str.isalnum, processor.id_to_piece(piece_id)))
    return ordinary and not letters <= BLANK_OTHERS


def _piece_length(processor: Any, piece_id: int) -> int:
    if processor.is_unknown(piece_id):
        return 0
    piece: str = processor.id_to_piece(piece_id)
    if processor.is_byte(piece_id):
        byte = int(piece[3:5], 16)  # "<0xE2>"
        return 0 if byte & 0xC0 == 0x80 else 1
    return len(piece)


def _own_pieces(processor: Any) -> npt.NDArray[np.bool_]:
    kinds = (processor.is_unknown, processor.is_byte, processor.is_control, processor.is_unused)
    pieces = ((piece_id, processor.id_to_piece(piece_id)) for piece_id in range(processor.get_piece_size()))
    single = [piece for piece_id, piece in pieces if len(piece) == 1 and not any(kind(piece_id) for kind in kinds)]
    own_piece = np.zeros(sys.maxunicode + 1, dtype=np.bool_)
    own_piece[code_points("".join(single))] = True
    return own_piece


def _run_lengths(values: npt.NDArray[np.bool_]) -> Int64Array:
    """Return the length of every run of True, in their order."""
    edges = np.flatnonzero(np.diff(values, prepend=False, append=False))
    return np.asarray(edges[1::2] - edges[::2], dtype=np.int64)
