"""What a random-block pattern is, whatever implementation it reproduces, and the two without random numbers.

Those are what transformers computes in `eval()`, and no random blocks at all.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.int64]
"""Key block for each random slot, `[heads, rows, slots]`. Row 0 belongs to the document's second block; there is a
row for each middle block of the longest document. `heads` is 1 where all heads share one table. An index beyond the
document's last block is dropped."""


@dataclass(frozen=True, eq=False, slots=True)
class RandomBlocks:
    """The random blocks of one layer.

    Attributes:
        table: For documents of any number of blocks but the listed ones.
        first_block_copies: How many further times each middle row attends to block 0. A repeated key counts in the
            softmax each time; the attention adds `log(1 + copies)` to its scores, which is the same sum.
        listed_table: For documents of a listed number of blocks, of the same shape as `table`; None where none is
            listed. Rows that no listed document has are zeros.
        listed_block_counts: The listed numbers of blocks, ascending.
    """

    table: Table
    first_block_copies: int = 0
    listed_table: Table | None = None
    listed_block_counts: tuple[int, ...] = ()


class Pattern(Protocol):
    """A source of random blocks, named in the manifest."""

    @property
    def name(self) -> str:
        """Name on the command line and in the manifest."""
        ...

    def random_blocks(
        self, layer: int, *, heads: int, slots: int, block_size: int, max_position_embeddings: int
    ) -> RandomBlocks:
        """Return the random blocks of a layer, for documents of up to `max_position_embeddings` tokens.

        Layers that share their blocks return the same object, so that index tables are built once.

        Args:
            layer: Index of the layer, from 0.
            heads: Attention heads.
            slots: Random blocks of a middle row, the configuration's `num_random_blocks`.
            block_size: Tokens in a block.
            max_position_embeddings: Positions of the model; documents are whole blocks of them.

        Raises:
            ExportError: The pattern cannot be drawn for these numbers.
        """
        ...


@lru_cache
def first_block_only(max_blocks: int, copies: int) -> RandomBlocks:
    """Return an empty table, the same object for the same numbers; block 0 counts `copies` further times."""
    return RandomBlocks(table=np.zeros((1, max_blocks - 2, 0), dtype=np.int64), first_block_copies=copies)


class TransformersPattern:
    """Hugging Face transformers in `eval()`: every random index is 0.

    Since pull request 23056 (2023) the random blocks are drawn in `train()` only. In `eval()` each slot points at
    block 0, which is therefore attended once as the global block and once for each slot.
    """

    name = "transformers"

    def random_blocks(
        self, layer: int, *, heads: int, slots: int, block_size: int, max_position_embeddings: int
    ) -> RandomBlocks:
        return first_block_only(max_position_embeddings // block_size, slots)


class NoRandomPattern:
    """Global blocks and window only, whatever `num_random_blocks` says."""

    name = "none"

    def random_blocks(
        self, layer: int, *, heads: int, slots: int, block_size: int, max_position_embeddings: int
    ) -> RandomBlocks:
        return first_block_only(max_position_embeddings // block_size, 0)
