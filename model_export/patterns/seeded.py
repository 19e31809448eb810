"""The patterns with random blocks: what transformers trains with, google-research/bigbird and TensorFlow Model Garden.

All three seed NumPy with the layer's index. They differ in which of the two draws below a document takes and in the
length that the table of the old plan is made for.

The two draws are functions of an explicit generator. Both go back to google-research/bigbird (`core/attention.py`);
transformers and TensorFlow Model Garden copied them. What is reproduced is the order and the size of every draw,
because the next draw depends on it. The references call `np.random.seed(n)` and draw from NumPy's global state;
`np.random.RandomState(n)` gives the same numbers.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_export.errors import ExportError
from model_export.patterns.pattern import RandomBlocks, Table, first_block_only

# The old plan looks for random blocks in the first 1024 tokens only (`last_idx` of the references).
_OLD_PLAN_REACH = 1024


def general_plan(generator: np.random.RandomState, *, heads: int, rows: int, slots: int) -> Table:
    """Draw the table for lengths that are in no list: random blocks among the first `5 + 2 * slots` ones.

    Row by row, and in each row head by head. A shorter document's table is the beginning of a longer one's.

    Args:
        generator: Fresh for each layer.
        heads: Attention heads.
        rows: Middle rows of the longest document.
        slots: Random blocks of a row.
    """
    reach = 5 + 2 * slots
    table = np.zeros((heads, rows, slots), dtype=np.int64)
    for row in range(rows):
        block = row + 1
        # The window, the global blocks, and what the second and the second-to-last block would meet in theirs. At
        # most five are excluded, so there is always a choice of `2 * slots`.
        excluded = {0, block - 1, block, block + 1, reach - 1}
        if block == 1:
            excluded.add(reach - 2)
        if block == reach - 2:
            excluded.add(1)
        for head in range(heads):
            order = generator.permutation(reach)
            table[head, row] = [choice for choice in order if choice not in excluded][:slots]
    return table


def old_plan(generator: np.random.RandomState, *, heads: int, slots: int, block_size: int, table_length: int) -> Table:
    """Draw the table "used in the paper": random blocks among those of the first 1024 tokens, or of all.

    Head by head, and for each head row by row. The table is drawn for `table_length` tokens whatever the document's
    length, which takes the first rows of it.

    Args:
        generator: Fresh for each layer.
        heads: Attention heads.
        slots: Random blocks of a row.
        block_size: Tokens in a block.
        table_length: Tokens that the table is made for.

    Raises:
        ExportError: A row has fewer than `slots` blocks to choose from. (The references fail too, except that one
            block for several slots is silently repeated.)
    """
    blocks = table_length // block_size
    table = np.zeros((heads, blocks - 2, slots), dtype=np.int64)
    choices = [_old_plan_choices(block, blocks, block_size) for block in range(1, blocks - 1)]
    fewest = min(len(choice) for choice in choices)
    if fewest < slots:
        raise ExportError(
            f"num_random_blocks, block_size, max_position_embeddings: {slots} random blocks of a row cannot be drawn "
            f"from {fewest} (blocks of {block_size} tokens, table of {table_length} tokens)"
        )
    for head in range(heads):
        for row, choice in enumerate(choices):
            table[head, row] = generator.permutation(choice)[:slots]
    return table


def _old_plan_choices(block: int, blocks: int, block_size: int) -> npt.NDArray[np.int64]:
    """Return the blocks that a middle row of the old plan may choose from, in the references' order."""
    middle = np.arange(1, blocks - 1)
    last = _OLD_PLAN_REACH // block_size - 1 if 2 * block_size < _OLD_PLAN_REACH else blocks - 1
    if block >= max(3, blocks - 3):
        # The references leave the window of the last two middle rows in.
        return middle[:last]
    before, after = max(block - 2, 0), block + 1
    return np.concatenate([middle[: min(before, last)], middle[after:last]])


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
