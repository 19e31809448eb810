"""What the tokenizer hands on: token ids of plain text, and sequences ready for the model."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """A text as tokens, without special tokens.

    Attributes:
        ids: Token ids, int64 `[tokens]`.
        starts: First code point of each token in the text, int64 `[tokens]`, never decreasing; empty if it was
            tokenised without positions.
        ends: One past the last code point of each token, int64 `[tokens]`, never decreasing; empty likewise.
        types: Token types that the text itself tells, int64 `[tokens]`; None where they are those of segments.
    """

    ids: Int64Array
    starts: Int64Array
    ends: Int64Array
    types: Int64Array | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class EncodedSequence:
    """One model input: special tokens included, not padded.

    Attributes:
        input_ids: int64 `[length]`.
        token_type_ids: int64 `[length]`; 0 or 1, unless the text's own types are more.
        positions: Where a language model predicts tokens, int64 `[positions]`; None for all other models.
    """

    input_ids: Int64Array
    token_type_ids: Int64Array
    positions: Int64Array | None = None

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(frozen=True, slots=True)
class Window:
    """A model input that covers a run of one text's tokens.

    Attributes:
        sequence: The model input, with everything around the text (question, special tokens).
        text_offset: Position in `sequence` of the first text token.
        first_token: Index, in the whole tokenised text, of the window's first text token.
        token_count: Number of text tokens in this window.
    """

    sequence: EncodedSequence
    text_offset: int
    first_token: int
    token_count: int
