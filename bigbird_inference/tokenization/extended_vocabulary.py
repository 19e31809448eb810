"""A vocabulary to which tokens were added: `tokenizer.add_tokens` and `resize_token_embeddings` in transformers.

A text is cut at the added tokens that it holds (`added_tokens`), and each section is tokenised by itself, with a space
in front as any text. The space before an added token is a piece of its own unless the token takes it. That is what
`AutoTokenizer` makes of BigBird's tokenizers in transformers 4 and 5.

Special tokens that were added have ids and names as control pieces have, and no text holds them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np
import numpy.typing as npt

from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import AddedToken
from bigbird_inference.tokenization.added_tokens import AddedTokenFinder
from bigbird_inference.tokenization.encoded import Int64Array, TokenizedText
from bigbird_inference.tokenization.normal_form import NormalForm, code_points
from bigbird_inference.tokenization.sentencepiece_vocabulary import CutText, SentencePieceVocabulary


@dataclass(frozen=True)
class ExtendedVocabulary:
    """What `Vocabulary` is, with added tokens.

    Attributes:
        pieces: The SentencePiece model.
        added: What was added; an id may be that of a piece, which it then is instead.
    """

    pieces: SentencePieceVocabulary
    added: Sequence[AddedToken]

    @property
    def unk_id(self) -> int:
        """The id of a run of characters that the vocabulary does not hold."""
        return self.pieces.unk_id

    @property
    def quick_bytes(self) -> int:
        """Bytes of a text that is tokenised in a millisecond or two."""
        return self.pieces.quick_bytes

    @cached_property
    def visible(self) -> npt.NDArray[np.bool_]:
        """Whether a piece holds a letter or a digit, bool `[pieces]`."""
        visible = np.zeros(len(self), dtype=np.bool_)
        visible[: len(self.pieces)] = self.pieces.visible
        for token in self.added:
            visible[token.id] = not token.special and any(map(str.isalnum, token.content))
        return visible

    @cached_property
    def ordinary(self) -> Int64Array:
        """Ids of the tokens that texts are made of, ascending."""
        in_texts = [token.id for token in self.added if not token.special]
        others = [token.id for token in self.added if token.special]
        return np.setdiff1d(np.union1d(self.pieces.ordinary, in_texts), others).astype(np.int64)

    @cached_property
    def _finder(self) -> AddedTokenFinder:
        return AddedTokenFinder(token for token in self.added if not token.special)

    @cached_property
    def _by_id(self) -> Mapping[int, AddedToken]:
        return {token.id: token for token in self.added}

    @cached_property
    def _size(self) -> int:
        return max(len(self.pieces), *(token.id + 1 for token in self.added))

    def __len__(self) -> int:
        """Return the number of ids; from here on, none has a name."""
        return self._size

    def ids(self, text: str, *, before_token: bool = False) -> Int64Array:
        """Return the ids of a text's tokens as `Vocabulary.ids` does."""
        parts = [
            self.pieces.ids(text[start:end]) if token_id is None else np.array([token_id])
            for start, end, token_id in self._sections(text, before_token)
        ]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def tokens(self, text: str, *, before_token: bool = False) -> TokenizedText:
        """Return the same ids with their spans."""
        cuts, offsets, ends = [], [], []
        for start, end, token_id in self._sections(text, before_token):
            if token_id is None:
                cut = self.pieces.cut(text[start:end])
                places = cut.normal.offsets[:-1] + start
            else:
                places = np.arange(start, end)
                normal = NormalForm(code_points(text[start:end]), places)
                cut = CutText(np.array([token_id]), np.array([end - start]), normal)
            cuts.append(cut)
            offsets.append(places)
            ends.append(end)
        if not cuts:
            return self.pieces.tokens(text)
        counts = np.array([len(cut.ids) for cut in cuts])
        characters = np.concatenate([cut.normal.characters for cut in cuts])
        whole = CutText(
            np.concatenate([cut.ids for cut in cuts]),
            np.concatenate([cut.lengths for cut in cuts]),
            NormalForm(characters, np.concatenate([*offsets, [len(text)]])),
        )
        firsts = (np.cumsum(counts) - counts)[counts > 0]
        return self.pieces.locate(text, whole, firsts, np.repeat(ends, counts))

    def _sections(self, text: str, before_token: bool) -> Iterator[tuple[int, int, int | None]]:
        """Yield the sections of a text, with their places: an id stands for a token, None for what is to be cut."""
        begin = 0
        for found in self._finder.find(text):
            yield from self._plain(text, begin, found.before, before_token=True)
            yield found.start, found.end, found.token.id
            begin = found.after
        yield from self._plain(text, begin, len(text), before_token=before_token)

    def _plain(self, text: str, begin: int, end: int, *, before_token: bool) -> Iterator[tuple[int, int, int | None]]:
        section = text[begin:end]
        last = self.pieces.last_space(section) if before_token else None
        if last is not None:
            section = section.rstrip(" ")
        if section:
            yield begin, begin + len(section), None
        if last is not None:
            yield begin + len(section), end, last

    def begins_word(self, token_id: int) -> bool:
        """Tell whether a space stands before a token's text; before added ones it does, as in transformers."""
        return token_id in self._by_id or self.pieces.begins_word(token_id)

    def token_text(self, token_id: int) -> str:
        """Return what a token alone reads as, without the space before or after it."""
        token = self._by_id.get(token_id)
        return self.pieces.token_text(token_id) if token is None else token.content.strip(" ")

    def text_after(self, before: Int64Array, token_ids: Int64Array) -> str:
        """Return the text of tokens that follow others, as `Vocabulary.text_after` does."""
        earlier = self._read(before.tolist())
        both = self._read([*before.tolist(), *token_ids.tolist()])
        return both[len(earlier) :] if both.startswith(earlier) else self._read(token_ids.tolist())

    def _read(self, token_ids: Sequence[int]) -> str:
        """Return the text of tokens, with spaces around the added ones, as transformers has them."""
        nothing = np.empty(0, dtype=np.int64)
        parts = []
        for token, ids in groupby(token_ids, self._by_id.get):
            if token is None:
                parts.append(self.pieces.text_after(nothing, np.fromiter(ids, dtype=np.int64)))
            elif not token.special:
                parts += [token.content for _ in ids]
        return " ".join(filter(None, parts))

    def check_reserved(self, reserved: Mapping[str, int]) -> None:
        """Make sure that no text is ever tokenised to one of the reserved ids.

        Raises:
            BundleError: An id has no name, is given twice, or can come out of text.
        """
        named = {role: self._by_id.get(token_id) for role, token_id in reserved.items()}
        for role, token in named.items():
            if token is not None and not token.special:
                raise BundleError(
                    f"{self.pieces.path}: the added token {token.content!r} (id {token.id}) is the {role} token, but a "
                    "text can contain it; export again"
                )
        self.pieces.check_reserved({role: reserved[role] for role, token in named.items() if token is None})
        if len(set(reserved.values())) != len(reserved):
            raise BundleError(f"{self.pieces.path}: the special tokens share an id: {dict(reserved)}")
