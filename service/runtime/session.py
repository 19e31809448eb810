"""The narrow door between batching and whatever runs the graphs."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded model inputs, all int64 `[batch, bucket_length]`.

    `attention_mask` is 1 on real tokens and 0 on padding, which is always on the right.
    """

    input_ids: Int64Array
    attention_mask: Int64Array
    token_type_ids: Int64Array


class Session(Protocol):
    """Runs one bucket of one model."""

    def run(self, batch: Batch) -> Float32Array:
        """Return the logits, float32, batch axis first; blocks until they are there."""
        ...
