"""Block-sparse attention, anchored to each document's own length.

Zaheer et al. 2020 (arXiv 2007.14062), section 2 and appendix D, in the "internal transformer construction" (ITC)
form. The first and the last block attend to everything and are attended by everything; a middle row `i` attends to

    slot      0            1      2    3      4 .. 3+r       4+r
    block     0            i-1    i    i+1    random         last
    dropped             if i = 1       if i+1 = last   if beyond last

where *last* is the document's own last block, found from its attention mask, not the bucket's. That is why neither
the bucket nor the rest of the batch changes a document's numbers. The layout (which blocks, which scores count) is
computed once for a batch and used by every layer that shares its random blocks.
"""

import math
from dataclasses import dataclass

import torch

from model_export.nn.full_attention import Dropout, full_attention
from model_export.nn.masking import key_bias, masked_score

WINDOW = (-1, 0, 1)


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


def block_layout(
    attention_mask: torch.Tensor,
    random_blocks: torch.Tensor,
    first_block_copies: int,
    block_size: int,
    dtype: torch.dtype,
) -> BlockLayout:
    """Build the layout of a batch.

    Args:
        attention_mask: int64 `[batch, length]`, 1 on real tokens, padding on the right; the length is whole blocks,
            at least three, and each document has at least three blocks of its own.
        random_blocks: int64 `[heads or 1, blocks - 2, random slots]`.
        first_block_copies: Further times that block 0 counts in a middle row.
        block_size: Tokens in a block.
        dtype: Floating type of the attention scores.
    """
    batch, length = attention_mask.shape
    blocks = length // block_size
    heads, rows, random_slots = random_blocks.shape
    device = attention_mask.device

    # [batch]
    last_block = (attention_mask.sum(dim=1) + block_size - 1) // block_size - 1
    last = last_block[:, None, None, None]

    # [rows, 4]: the first block and the window of rows 1 .. blocks - 2
    window = torch.arange(1, blocks - 1, device=device)[:, None] + torch.tensor(WINDOW, device=device)
    is_new_window = (window > 0) & (window < last)
    is_new_random = random_blocks <= last
    # A table for longer documents may point beyond the bucket; what is dropped must still be a block of it.
    random_blocks = random_blocks.clamp(max=blocks - 1)

    def spread(slots: torch.Tensor, count: int) -> torch.Tensor:
        return slots.expand(batch, heads, rows, count)

    first = torch.zeros(1, dtype=torch.int64, device=device)
    always = torch.ones(1, dtype=torch.bool, device=device)
    # [batch, heads or 1, rows, slots]
    key_blocks = torch.cat(
        [spread(first, 1), spread(window, len(WINDOW)), spread(random_blocks, random_slots), spread(last, 1)], dim=-1
    )
    counts = torch.cat(
        [
            spread(always, 1),
            spread(is_new_window, len(WINDOW)),
            spread(is_new_random, random_slots),
            spread(always, 1),
        ],
        dim=-1,
    )

    # [batch, heads or 1, rows, slots, block_size]
    is_real = attention_mask.bool().view(batch, blocks, block_size)
    document = torch.arange(batch, device=device)[:, None, None, None]
    token_counts = counts[..., None] & is_real[document, key_blocks]
    slots = len(WINDOW) + random_slots + 2
    repeat_score = torch.zeros(slots, 1, dtype=dtype, device=device)
    repeat_score[0] = math.log1p(first_block_copies)
    slot_bias = repeat_score.masked_fill(~token_counts, masked_score(dtype))

    return BlockLayout(
        key_bias=key_bias(attention_mask, dtype),
        last_block=last_block,
        key_blocks=key_blocks,
        slot_bias=slot_bias.view(batch, heads, rows, 1, slots * block_size),
    )


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
        `[batch, heads, length, head_dim]`; rows beyond a document's last block are finite and without meaning.
    """
    batch, heads, length, head_dim = query.shape
    rows = layout.key_blocks.shape[2]
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
        return whole_blocks.index_select(0, flat_blocks).view(batch, heads, rows, -1, head_dim)

    scores = query_blocks[:, :, 1:-1] @ gather_blocks(key).transpose(-1, -2) + layout.slot_bias
    middle_context = dropout(scores.softmax(dim=-1)) @ gather_blocks(value)

    # Put the last row back at the document's own last block.
    context = torch.cat([first_context[:, :, None], middle_context, last_context[:, :, None]], dim=2)
    is_last = torch.arange(blocks, device=query.device)[:, None, None] == last
    return torch.where(is_last, last_context[:, :, None], context).view(batch, heads, length, head_dim)
