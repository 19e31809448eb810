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
from bigbird_inference.tokenization.character_origins import CharacterOrigins
from bigbird_inference.tokenization.encoded import Int64Array, TokenizedText
from bigbird_inference.tokenization.normal_form import SPACE_SYMBOL, NormalForm, code_points, normalise
from bigbird_inference.tokenization.token_spans import (
    share_split_characters,
    split_characters,
    token_spans,
    trim_blanks,
)
from bigbird_inference.tokenization.vocabulary import BLANK_OTHERS, MAX_VOCABULARY_BYTES, blank_table
from bigbird_inference.tokenization.whole_pieces import WholePieces, is_byte_pair

_FIRST = np.zeros(1, dtype=np.int64)
# Characters of a text for which looking for whole words takes as long as SentencePiece.
_SHORT = 512
# Bytes that take a millisecond or two: where most words are found at once, and where SentencePiece cuts them all.
_QUICK, _QUICK_BY_PIECES = 24_576, 4_096


@dataclass(frozen=True, slots=True)
class CutText:
    """A text as pieces, before their places in it are known.

    Attributes:
        ids: Token ids, int64 `[tokens]`.
        lengths: Characters of the normal form that each stands for, int64 `[tokens]`, as `piece_lengths` has them.
        normal: The normal form.
    """

    ids: Int64Array
    lengths: Int64Array
    normal: NormalForm


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
        space_id: The id of a space by itself; None if the model keeps the spaces at the end of a text.
        origins: Tells where normalised characters came from; None if SentencePiece must be asked about each text.
        whole: Finds words of byte-pair models; None for other models.
    """

    processor: Any
    path: Path
    unk_id: int
    piece_lengths: Int64Array
    visible: npt.NDArray[np.bool_]
    own_piece: npt.NDArray[np.bool_]
    blank: npt.NDArray[np.bool_]
    space_id: int | None
    origins: CharacterOrigins | None
    whole: WholePieces | None

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
            strips = processor.normalize("x ").endswith("x")
            origins = CharacterOrigins.of(processor)
            whole = _whole_pieces(processor) if is_byte_pair(content) else None
        except (RuntimeError, ValueError) as error:  # ValueError: a piece, or a normal form, that is not UTF-8
            raise BundleError(f"{path}: cannot be read as a SentencePiece model: {error}") from error
        return cls(
            processor=processor,
            path=path,
            unk_id=int(processor.unk_id()),
            piece_lengths=np.array(lengths, dtype=np.int64),
            visible=np.array(visible, dtype=np.bool_),
            own_piece=own_piece,
            blank=blank,
            space_id=int(processor.piece_to_id(SPACE_SYMBOL)) if strips else None,
            origins=origins,
            whole=whole,
        )

    @property
    def quick_bytes(self) -> int:
        found_at_once = self.whole is not None and self.origins is not None
        return _QUICK if found_at_once else _QUICK_BY_PIECES

    def __len__(self) -> int:
        """Return the number of pieces; ids from here on have none."""
        return len(self.piece_lengths)

    @property
    def ordinary(self) -> Int64Array:
        never = (self.processor.is_control, self.processor.is_unused, self.processor.is_unknown)
        ids = [token for token in range(len(self)) if not any(kind(token) for kind in never)]
        return np.array(ids, dtype=np.int64)

    def ids(self, text: str, *, before_token: bool = False) -> Int64Array:
        if self.whole is None or len(text) < _SHORT:
            ids = self._encode(text)
        else:
            ids, _ = self._cut(text, code_points(self.processor.normalize(text)))
        space = self.last_space(text) if before_token else None
        return ids if space is None else np.append(ids, space)

    def tokens(self, text: str, *, before_token: bool = False) -> TokenizedText:
        cut = self.cut(text)
        space = self.last_space(text) if before_token else None
        if space is not None:
            characters = np.append(cut.normal.characters, np.uint32(ord(SPACE_SYMBOL)))
            offsets = np.append(cut.normal.offsets[:-1], [len(text.rstrip(" ")), len(text)])
            normal = NormalForm(characters, offsets)
            cut = CutText(np.append(cut.ids, space), np.append(cut.lengths, 1), normal)
        return self.locate(text, cut)

    def cut(self, text: str) -> CutText:
        """Return the pieces of a text, with its normal form."""
        normal = self.normal_form(text)
        return CutText(*self._cut(text, normal.characters), normal)

    def normal_form(self, text: str) -> NormalForm:
        """Return the normal form of a text."""
        if self.origins is not None:
            normal = self.origins.find(text, code_points(self.processor.normalize(text)))
            if normal is not None:
                return normal
        return normalise(self.processor, text)

    def _cut(self, text: str, normal: npt.NDArray[np.uint32]) -> tuple[Int64Array, Int64Array]:
        """Return the ids of a text's pieces and their lengths, as `piece_lengths` has them."""
        if self.whole is not None and len(text) >= _SHORT and len(normal):
            found = self.whole.find(normal)
            if len(found.ids):
                left = normal[found.left]
                rest = left.tobytes().decode("utf-32-le").replace(SPACE_SYMBOL, " ").removeprefix(" ")
                if np.array_equal(code_points(self.processor.normalize(rest)), left):
                    ids = self._encode(rest)
                    lengths = self._lengths(ids, rest, left)
                    # The first byte of a character stands for it, so the others are told to stand there, too.
                    lasts = np.flatnonzero(found.left)[np.maximum(np.cumsum(lengths) - 1, 0)]
                    order = np.argsort(np.concatenate((lasts, found.lasts)), kind="stable")
                    return np.concatenate((ids, found.ids))[order], np.concatenate((lengths, found.lengths))[order]
        ids = self._encode(text)
        return ids, self._lengths(ids, text, normal)

    def _encode(self, text: str) -> Int64Array:
        return np.asarray(self.processor.encode(text, return_type="numpy"), dtype=np.int64)

    def last_space(self, text: str) -> int | None:
        """Return the id of the space at the end of a text, which SentencePiece drops; None if there is none."""
        return self.space_id if text.endswith(" ") else None

    def locate(
        self, text: str, cut: CutText, firsts: Int64Array = _FIRST, limits: Int64Array | None = None
    ) -> TokenizedText:
        """Find the places of pieces in a text.

        Args:
            text: The text, in one or several sections that were cut apart.
            cut: All pieces, and all normal forms one after the other.
            firsts: The first token of each section, int64 `[sections]`.
            limits: Where the section ends that a token lies in, int64 `[tokens]`; None for the end of the text.
        """
        ids, lengths, normal = cut.ids, cut.lengths, cut.normal
        if len(ids) == 0:
            return TokenizedText(ids, ids, ids)
        starts, ends = token_spans(lengths, normal.offsets)
        split_after = np.zeros(len(ids), dtype=np.bool_)
        if not text.isascii():
            split_after = split_characters(lengths, normal.offsets)
        shared_ends = share_split_characters(starts, ends, split_after)
        # The space that SentencePiece puts before a section is not part of it.
        spaces = normal.characters[np.cumsum(lengths)[firsts] - 1] == ord(SPACE_SYMBOL)
        added = firsts[(starts[firsts] == ends[firsts]) & (lengths[firsts] == 1) & spaces]
        shared_ends[added] = ends[added]
        if limits is not None:
            shared_ends = np.minimum(shared_ends, limits)
        return TokenizedText(ids, *trim_blanks(starts, shared_ends, self.blank.take(code_points(text))))

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
            BundleError: The pieces are not as long as the normal form, so this is not a usable vocabulary.
        """
        return self._lengths(ids, text, normal.characters)

    def _lengths(self, ids: Int64Array, text: str, normal: npt.NDArray[np.uint32]) -> Int64Array:
        lengths = self.piece_lengths[ids]
        unknown = ids == self.unk_id
        if unknown.any():
            runs = _run_lengths(~self.own_piece[normal])
            if len(runs) == np.count_nonzero(unknown):
                lengths[unknown] = runs
        if lengths.sum() != len(normal):
            lengths = self._lengths_of_strings(ids, text)
            if lengths.sum() != len(normal):
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


def _whole_pieces(processor: Any) -> WholePieces | None:
    never = (processor.is_unknown, processor.is_byte, processor.is_control, processor.is_unused)
    pieces = [str(processor.id_to_piece(piece_id)) for piece_id in range(processor.get_piece_size())]
    ordinary = [
        piece_id for piece_id, piece in enumerate(pieces) if piece and not any(kind(piece_id) for kind in never)
    ]
    return WholePieces.of(processor, pieces, ordinary)


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
