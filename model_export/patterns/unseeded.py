"""The two patterns without random numbers: what transformers computes in `eval()`, and no random blocks at all."""

from functools import lru_cache

import numpy as np

from model_export.patterns.pattern import RandomBlocks


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
