"""The patterns with random blocks: what transformers trains with, google-research/bigbird and TensorFlow Model Garden.

All three seed NumPy with the layer's index. They differ in which of the two draws (`draws.py`) a document takes and in
the length that the table of the old plan is made for.
"""

from dataclasses import dataclass

import numpy as np

from model_export.patterns.draws import general_plan, old_plan
from model_export.patterns.pattern import RandomBlocks, Table
from model_export.patterns.unseeded import first_block_only


@dataclass(frozen=True, slots=True)
class ListedPattern:
    """The old plan for documents of some lengths, the general plan for all others.

    A document has a listed length when it is exactly that long once it is padded to whole blocks; a listed length
    that is no whole number of blocks never applies.

    Attributes:
        name: Name on the command line and in the manifest.
        lengths: The listed lengths, ascending, in tokens.
        table_length: Tokens that the old plan's table is made for; None means `max_position_embeddings`.
    """

    name: str
    lengths: tuple[int, ...]
    table_length: int | None

    def random_blocks(
        self, layer: int, *, heads: int, slots: int, block_size: int, max_position_embeddings: int
    ) -> RandomBlocks:
        max_blocks = max_position_embeddings // block_size
        if slots == 0:
            return first_block_only(max_blocks, 0)
        general = general_plan(np.random.RandomState(layer), heads=heads, rows=max_blocks - 2, slots=slots)
        whole = [length // block_size for length in self.lengths if length % block_size == 0]
        # Shorter documents use full attention; there the old plan may be impossible to draw.
        counts = tuple(count for count in whole if 5 + 2 * slots < count <= max_blocks)
        if not counts:
            return RandomBlocks(general)
        listed = old_plan(
            np.random.RandomState(layer),
            heads=heads,
            slots=slots,
            block_size=block_size,
            table_length=self.table_length or max_position_embeddings,
        )
        return RandomBlocks(
            general, listed_table=_shaped_like(general, listed, counts[-1] - 2), listed_block_counts=counts
        )


class ModelGardenPattern:
    """TensorFlow Model Garden: the old plan's table of `max_position_embeddings` for every length.

    `official/nlp/modeling/layers/bigbird_attention.py`, `BigBirdAttention`. Documents below 1024 tokens meet indices
    beyond their last block there, which TensorFlow refuses to gather on a CPU; here those slots are dropped.
    """

    name = "model-garden"

    def random_blocks(
        self, layer: int, *, heads: int, slots: int, block_size: int, max_position_embeddings: int
    ) -> RandomBlocks:
        if slots == 0:
            return first_block_only(max_position_embeddings // block_size, 0)
        table = old_plan(
            np.random.RandomState(layer),
            heads=heads,
            slots=slots,
            block_size=block_size,
            table_length=max_position_embeddings,
        )
        return RandomBlocks(table)


def _shaped_like(general: Table, listed: Table, rows: int) -> Table:
    """Return the first rows of the listed table, with zeros below them up to the shape of the general one."""
    cut = np.zeros_like(general)
    cut[:, :rows] = listed[:, :rows]
    return cut


# Hugging Face transformers in `train()` with every dropout 0: `modeling_big_bird.py`,
# `BigBirdBlockSparseAttention.bigbird_block_sparse_attention`.
TRANSFORMERS_TRAIN = ListedPattern("transformers-train", lengths=(1024, 3072, 4096), table_length=None)

# google-research/bigbird: `core/attention.py`, `MultiHeadedAttentionLayer.generate_rand_attn_list` and MAX_SEQ_LEN.
GOOGLE = ListedPattern("google", lengths=(1024, 2048, 3072, 4096), table_length=4096)
