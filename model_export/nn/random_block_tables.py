"""The choice between a layer's random-block tables, made inside the graph by each document's own number of blocks.

Neither the bucket nor the rest of the batch may change a document's numbers, so it is the document that chooses. The
tables stay small constants in the graph (uint8 while a block's index fits): they are cast after they are chosen, which
is also why the exporter cannot fold them into int64. They are made for the longest document, and a batch takes the
first rows of them.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from model_export.patterns.pattern import RandomBlocks


def chosen_table(random_blocks: RandomBlocks, document_blocks: torch.Tensor, blocks: int) -> torch.Tensor:
    """Return each document's table.

    Args:
        random_blocks: The layer's tables.
        document_blocks: Number of blocks of each document, int64 `[batch]`.
        blocks: Blocks of the batch, padding included.

    Returns:
        int64 `[batch or 1, heads or 1, blocks - 2, slots]`.
    """
    constant = torch.from_numpy(table_constant(random_blocks)).to(document_blocks.device)
    # [tables, heads or 1, rows, slots]
    cut = constant[:, :, : blocks - 2]
    if random_blocks.listed_table is None:
        return cut.long()
    listed = torch.tensor(random_blocks.listed_block_counts, device=document_blocks.device)
    is_listed = (document_blocks[:, None] == listed).any(dim=1)
    return cut.index_select(0, is_listed.long()).long()


def table_constant(random_blocks: RandomBlocks) -> npt.NDArray[np.integer[Any]]:
    """Return a layer's general and listed table, in the smallest type that holds every index.

    Returns:
        `[1 or 2, heads or 1, rows, slots]`.
    """
    listed = random_blocks.listed_table
    tables = np.stack([random_blocks.table] if listed is None else [random_blocks.table, listed])
    largest = int(tables.max(initial=0))
    return tables.astype(next(kind for kind in (np.uint8, np.int16, np.int64) if largest <= np.iinfo(kind).max))
