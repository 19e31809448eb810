"""Block-sparse attention, anchored to each document's own length.

Zaheer et al. 2020 (arXiv 2007.14062), section 2 and appendix D, in the "internal transformer construction" (ITC)
form. The first and the last block attend to everything and are attended by everything; a middle row `i` attends to

    slot      0            1      2    3      4 .. 3+r       4+r
    block     0            i-1    i    i+1    random         last
    dropped             if i = 1       if i+1 = last   if beyond last

where *last* is the document's own last block, found from its attention mask, not the bucket's. That is why neither
the bucket nor the rest of the batch changes a document's numbers. What all layers have in common is laid out once for
a batch (`fixed_slots`); the random slots are added once for all layers that share their random blocks
(`block_layout`).

A layer's random blocks are a small table of constants, made for the longest document (uint8 while a block's index
fits; they are cast after they are chosen, so that the exporter cannot fold them into int64). Which table counts is
chosen in the graph, by each document's own number of blocks.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from model_export.nn.attention import (
    AttentionLayout,
    BlockSparseSlots,
    Dropout,
    FullLayout,
    attention_weights,
    causal_bias,
    full_attention,
    heads_apart,
    heads_together,
    key_bias,
    masked_score,
)
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


WINDOW = (-1, 0, 1)


@dataclass(frozen=True, eq=False, slots=True)
class FixedSlots:
    """What does not depend on the random blocks: first block, window, last block, in this order.

    Attributes:
        key_bias: For the two global rows, `[batch, 1, 1, length]`.
        lengths: Tokens of each document, int64 `[batch]`.
        key_blocks: Key block of every slot, int64 `[batch, 1, blocks - 2, slots]`.
        slot_bias: Added to the middle rows' scores, `[batch, 1, blocks - 2, slots, block_size]`.
    """

    key_bias: torch.Tensor
    lengths: torch.Tensor
    key_blocks: torch.Tensor
    slot_bias: torch.Tensor

    @property
    def document_blocks(self) -> torch.Tensor:
        """Number of blocks of each document, int64 `[batch]`."""
        block_size = self.slot_bias.shape[-1]
        return (self.lengths + block_size - 1) // block_size

    def layout(self, random_blocks: torch.Tensor, first_block_copies: int) -> "BlockLayout":
        """Complete the layout; see `block_layout`."""
        return block_layout(self, random_blocks, first_block_copies)


@dataclass(frozen=True, eq=False, slots=True)
class BlockLayout:
    """Where each block row of a batch looks.

    Attributes:
        key_bias: For the two global rows, `[batch, 1, 1, length]`.
        last_block: Index of each document's last block, int64 `[batch]`.
        key_blocks: Key block of every slot, int64 `[batch, heads or 1, blocks - 2, slots]`.
        slot_bias: Added to the middle rows' scores, `[batch, heads or 1, blocks - 2, 1, slots * block_size]`.
    """

    key_bias: torch.Tensor
    last_block: torch.Tensor
    key_blocks: torch.Tensor
    slot_bias: torch.Tensor

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, dropout: Dropout
    ) -> torch.Tensor:
        """Attend; see `AttentionLayout`."""
        queries, keys, values = heads_apart(query, key, value, heads)
        return heads_together(block_sparse_attention(queries.contiguous(), keys, values, self, dropout))


def fixed_slots(attention_mask: torch.Tensor, block_size: int, dtype: torch.dtype) -> FixedSlots:
    """Lay out the slots of a batch that are not random.

    Args:
        attention_mask: int64 `[batch, length]`, 1 on real tokens, padding on the right; the length is whole blocks,
            at least three, and each document has at least three blocks of its own.
        block_size: Tokens in a block.
        dtype: Floating type of the attention scores.
    """
    batch, length = attention_mask.shape
    blocks = length // block_size
    device = attention_mask.device

    lengths = attention_mask.sum(dim=1)
    last = ((lengths + block_size - 1) // block_size - 1)[:, None, None, None]
    # [rows, 3]: the window of rows 1 .. blocks - 2
    window = torch.arange(1, blocks - 1, device=device)[:, None] + torch.tensor(WINDOW, device=device)
    # The window drops what is global already.
    is_new = (window > 0) & (window < last)

    def spread(slots: torch.Tensor, count: int) -> torch.Tensor:
        return slots.expand(batch, 1, blocks - 2, count)

    first = torch.zeros(1, dtype=torch.int64, device=device)
    always = torch.ones(1, dtype=torch.bool, device=device)
    # [batch, 1, rows, 5]
    key_blocks = torch.cat([spread(first, 1), spread(window, len(WINDOW)), spread(last, 1)], dim=-1)
    counts = torch.cat([spread(always, 1), spread(is_new, len(WINDOW)), spread(always, 1)], dim=-1)
    slot_bias = _token_bias(key_blocks, lengths, block_size, dtype)
    return FixedSlots(
        key_bias=key_bias(attention_mask, dtype),
        lengths=lengths,
        key_blocks=key_blocks,
        slot_bias=slot_bias.masked_fill(~counts[..., None], masked_score(dtype)),
    )


def block_layout(fixed: FixedSlots, random_blocks: torch.Tensor, first_block_copies: int) -> BlockLayout:
    """Complete the layout of a batch for the layers that share these random blocks.

    Args:
        fixed: The batch's other slots.
        random_blocks: int64 `[batch or 1, heads or 1, blocks - 2, random slots]`. What points beyond a document's
            last block is dropped.
        first_block_copies: Further times that block 0 counts in a middle row.
    """
    batch, _, rows, fixed_count, block_size = fixed.slot_bias.shape
    _, heads, _, random_count = random_blocks.shape
    dtype, device = fixed.slot_bias.dtype, fixed.slot_bias.device
    key_blocks, slot_bias = fixed.key_blocks, fixed.slot_bias
    if first_block_copies:
        repeat_score = torch.zeros(fixed_count, 1, dtype=dtype, device=device)
        repeat_score[0] = math.log1p(first_block_copies)
        slot_bias = slot_bias + repeat_score
    if random_count:
        random_blocks = random_blocks.expand(batch, heads, rows, random_count)
        random_bias = _token_bias(random_blocks, fixed.lengths, block_size, dtype)
        # A table for longer documents may point beyond the bucket; what is dropped must still be a block of it.
        random_blocks = random_blocks.clamp(max=rows + 1)
        key_blocks = _before_last(key_blocks.expand(batch, heads, rows, fixed_count), random_blocks, dim=-1)
        slot_bias = _before_last(slot_bias.expand(batch, heads, rows, fixed_count, block_size), random_bias, dim=-2)
    return BlockLayout(
        key_bias=fixed.key_bias,
        last_block=fixed.document_blocks - 1,
        key_blocks=key_blocks,
        slot_bias=slot_bias.flatten(start_dim=-2)[..., None, :],
    )


def _token_bias(key_blocks: torch.Tensor, lengths: torch.Tensor, block_size: int, dtype: torch.dtype) -> torch.Tensor:
    """Return 0 for a document's tokens, `masked_score` beyond them, `[batch, heads or 1, rows, slots, block_size]`."""
    positions = key_blocks[..., None] * block_size + torch.arange(block_size, device=key_blocks.device)
    zero = torch.zeros((), dtype=dtype, device=key_blocks.device)
    return zero.masked_fill(positions >= lengths[:, None, None, None, None], masked_score(dtype))


def _before_last(slots: torch.Tensor, more: torch.Tensor, dim: int) -> torch.Tensor:
    """Insert slots before the last one, so that what is partly filled stays at the end."""
    count = slots.shape[dim]
    return torch.cat([slots.narrow(dim, 0, count - 1), more, slots.narrow(dim, count - 1, 1)], dim=dim)


def block_sparse_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: BlockLayout, dropout: Dropout
) -> torch.Tensor:
    """Attend along the layout.

    Args:
        query: Scaled queries, `[batch, heads, length, head_dim]`.
        key: `[batch, heads, length, head_dim]`.
        value: `[batch, heads, length, head_dim]`.
        layout: The batch's layout.
        dropout: Applied to the attention weights.

    Returns:
        `[batch, heads, length, head_dim]`; rows beyond a document's last block are copies of its first row.
    """
    batch, heads, length, head_dim = query.shape
    _, _, rows, slots = layout.key_blocks.shape
    blocks = rows + 2
    block_size = length // blocks

    # [batch, heads, blocks, block_size, head_dim]
    query_blocks = query.view(batch, heads, blocks, block_size, head_dim)
    last = layout.last_block[:, None, None, None, None]
    last_query = query_blocks.gather(2, last.expand(batch, heads, 1, block_size, head_dim))

    # The two global rows as one: [batch, heads, 2 * block_size, head_dim]
    global_query = torch.cat([query_blocks[:, :, 0], last_query[:, :, 0]], dim=2)
    global_context = full_attention(global_query, key, value, layout.key_bias, dropout)
    first_context, last_context = global_context.chunk(2, dim=2)

    # The middle rows: [batch, heads, rows, slots * block_size, head_dim]
    sequence = torch.arange(batch * heads, device=query.device).view(batch, heads, 1, 1)
    flat_blocks = (sequence * blocks + layout.key_blocks).flatten()

    def gather_blocks(states: torch.Tensor) -> torch.Tensor:
        whole_blocks = states.reshape(batch * heads * blocks, block_size * head_dim)
        return whole_blocks.index_select(0, flat_blocks).view(batch, heads, rows, slots * block_size, head_dim)

    scores = query_blocks[:, :, 1:-1] @ gather_blocks(key).transpose(-1, -2) + layout.slot_bias
    values = gather_blocks(value)
    middle_context = attention_weights(scores, dropout, values) @ values

    # The last row stands at the document's own last block; what is beyond is padding (see `encoder`).
    padding = first_context[:, :, None, :1].expand_as(first_context[:, :, None])
    results = torch.cat([first_context[:, :, None], middle_context, last_context[:, :, None], padding], dim=2)
    row = torch.arange(blocks, device=query.device)
    last_row = layout.last_block[:, None]
    # [batch, blocks]: where each row's result stands
    source = torch.where(row < last_row, row, torch.where(row == last_row, blocks - 1, blocks))
    flat_rows = (sequence * (blocks + 1) + source[:, None, None, :]).flatten()
    flat_results = results.view(batch * heads * (blocks + 1), block_size * head_dim)
    return flat_results.index_select(0, flat_rows).view(batch, heads, length, head_dim)


class ComposedAttention:
    """Masked keys get a score so low that their weight is 0; repeated keys get a bias in place of copies."""

    def full(self, attention_mask: torch.Tensor, dtype: torch.dtype, *, causal: bool) -> AttentionLayout:
        """Lay out a batch with full attention."""
        return FullLayout((causal_bias if causal else key_bias)(attention_mask, dtype))

    def block_sparse(self, attention_mask: torch.Tensor, block_size: int, dtype: torch.dtype) -> BlockSparseSlots:
        """Lay out the slots of a batch that are not random."""
        return fixed_slots(attention_mask, block_size, dtype)
