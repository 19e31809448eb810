"""What a random-block pattern is, whatever world it reproduces.

The implementations of BigBird differ in the random blocks that a middle row attends to. A pattern says which;
the attention itself does not know where the numbers came from. NumPy only: patterns are drawn at export.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False, slots=True)
class RandomBlocks:
    """The random blocks of one layer.

    Attributes:
        table: Key block for each random slot, int64 `[heads, rows, slots]`. Row 0 belongs to the document's second
            block; there is a row for each middle block of the longest document. `heads` is 1 where all heads
            share one table. An index beyond the document's last block is dropped.
        first_block_copies: How many further times each middle row attends to block 0. A repeated key counts in the
            softmax each time; the attention adds `log(1 + copies)` to its scores, which is the same sum.
    """

    table: npt.NDArray[np.int64]
    first_block_copies: int = 0


class Pattern(Protocol):
    """A source of random blocks, named in the manifest."""

    @property
    def name(self) -> str:
        """Name on the command line and in the manifest."""
        ...

    def random_blocks(self, layer: int, *, heads: int, max_blocks: int, slots: int) -> RandomBlocks:
        """Return the random blocks of a layer, for documents of up to `max_blocks` blocks.

        Layers that share their blocks return the same object, so that index tables are built once.
        """
        ...
