"""The two ways in which the implementations draw random blocks, as functions of an explicit generator.

Both go back to google-research/bigbird (`core/attention.py`); transformers and TensorFlow Model Garden copied them.
What is reproduced is the order and the size of every draw, because the next draw depends on it. The references call
`np.random.seed(n)` and draw from NumPy's global state; `np.random.RandomState(n)` gives the same numbers.
"""

import numpy as np
import numpy.typing as npt

from model_export.errors import ExportError
from model_export.patterns.pattern import Table

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
