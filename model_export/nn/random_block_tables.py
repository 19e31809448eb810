"""The choice between a layer's random-block tables, made inside the graph by each document's own number of blocks.

Neither the bucket nor the rest of the batch may change a document's numbers, so it is the document that chooses. The
tables stay small constants in the graph (uint8 while a block's index fits): they are cast after they are chosen, which
is also why the exporter cannot fold them into int64.
"""

import numpy as np
import torch

from model_export.patterns.pattern import RandomBlocks


def chosen_table(random_blocks: RandomBlocks, document_blocks: torch.Tensor, possible_blocks: range) -> torch.Tensor:
    """Return each document's table.

    Args:
        random_blocks: The layer's tables.
        document_blocks: Number of blocks of each document, int64 `[batch]`.
        possible_blocks: Numbers of blocks that a document of this bucket can have, up to the bucket's own; a table
            that none of them uses is left out of the graph.

    Returns:
        int64 `[batch or 1, heads or 1, blocks - 2, slots]` with the bucket's number of blocks.
    """
    rows = possible_blocks[-1] - 2
    listed = [count for count in random_blocks.listed_block_counts if count in possible_blocks]
    tables = [] if len(listed) == len(possible_blocks) else [random_blocks.table[:, :rows]]
    if listed:
        assert random_blocks.listed_table is not None
        tables.append(random_blocks.listed_table[:, :rows])
    constant = torch.from_numpy(_narrow(np.stack(tables))).to(document_blocks.device)
    if random_blocks.table.shape[-1] == 0:
        return constant.long()
    if len(tables) == 2:
        is_listed = document_blocks[:, None] == torch.tensor(listed, device=document_blocks.device)
        choice = is_listed.any(dim=1).long()
    else:
        choice = torch.zeros_like(document_blocks)
    return constant.index_select(0, choice).long()


def _narrow(tables: np.ndarray) -> np.ndarray:
    """Return the tables in the smallest type that holds every index."""
    largest = int(tables.max(initial=0))
    return tables.astype(next(kind for kind in (np.uint8, np.int16, np.int64) if largest <= np.iinfo(kind).max))
