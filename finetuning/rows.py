"""What is learned from: model inputs, kept small because a whole file of them is kept."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bigbird_inference.tokenization.encoded import EncodedSequence

Int32Array = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Row:
    """One model input, not padded.

    Attributes:
        ids: Token ids with the special ones, int32 `[length]`.
        second: From here on the token type is 1; the length where it never is.
    """

    ids: Int32Array
    second: int

    def __len__(self) -> int:
        return len(self.ids)


def row_of(sequence: EncodedSequence) -> Row:
    """Return a sequence as the service makes it in the form in which it is kept."""
    return Row(sequence.input_ids.astype(np.int32), len(sequence) - int(sequence.token_type_ids.sum()))
