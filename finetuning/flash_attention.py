"""Attention for training on a CPU: the same sums as the composed kernel, through PyTorch's own fused operator.

Scores and weights are never laid down in memory, which halves the time of a training step. The operator has no dropout
on a CPU, so it is for training without.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from model_export.nn.attention import (
    AttentionLayout,
    BlockSparseSlots,
    Dropout,
    causal_bias,
    heads_apart,
    heads_together,
    key_bias,
)
from model_export.nn.block_sparse_attention import BlockLayout, FixedSlots, block_layout, fixed_slots


class FlashAttention:
    """See `AttentionKernel`."""

    def full(self, attention_mask: torch.Tensor, dtype: torch.dtype, *, causal: bool) -> AttentionLayout:
        """Lay out a batch with full attention."""
        return _FullLayout((causal_bias if causal else key_bias)(attention_mask, dtype))

    def block_sparse(self, attention_mask: torch.Tensor, block_size: int, dtype: torch.dtype) -> BlockSparseSlots:
        """Lay out the slots of a batch that are not random."""
        return _Slots(fixed_slots(attention_mask, block_size, dtype))


@dataclass(frozen=True, eq=False, slots=True)
class _FullLayout:
    bias: torch.Tensor

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, dropout: Dropout
    ) -> torch.Tensor:
        return heads_together(_attention(*heads_apart(query, key, value, heads), self.bias))


@dataclass(frozen=True, eq=False, slots=True)
class _Slots:
    fixed: FixedSlots

    @property
    def document_blocks(self) -> torch.Tensor:
        return self.fixed.document_blocks

    def layout(self, random_blocks: torch.Tensor, first_block_copies: int) -> AttentionLayout:
        return _SparseLayout(block_layout(self.fixed, random_blocks, first_block_copies))


@dataclass(frozen=True, eq=False, slots=True)
class _SparseLayout:
    blocks: BlockLayout

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, dropout: Dropout
    ) -> torch.Tensor:
        layout = self.blocks
        queries, keys, values = heads_apart(query, key, value, heads)
        batch, _, length, head_dim = queries.shape
        rows = layout.key_blocks.shape[2]
        block_size = length // (rows + 2)
        sequences = torch.arange(batch * heads, device=query.device)

        def blocks_of(states: torch.Tensor) -> torch.Tensor:
            # [batch * heads, blocks, block_size, head_dim]
            return states.reshape(batch * heads, rows + 2, block_size, head_dim)

        def gathered(states: torch.Tensor) -> torch.Tensor:
            # [batch * heads, rows, slots * block_size, head_dim]
            key_blocks = layout.key_blocks.expand(batch, heads, rows, -1).reshape(batch * heads, rows, -1)
            return blocks_of(states)[sequences[:, None, None], key_blocks].flatten(2, 3)

        query_blocks = blocks_of(queries)
        last = layout.last_block[:, None].expand(batch, heads).reshape(-1)
        # The two rows that attend to everything: [batch, heads, 2 * block_size, head_dim]
        whole = torch.cat([query_blocks[:, 0], query_blocks[sequences, last]], dim=1)
        whole = whole.view(batch, heads, 2 * block_size, head_dim)
        whole = _attention(whole, keys, values, layout.key_bias).flatten(0, 1)
        bias = layout.slot_bias.expand(batch, heads, rows, 1, -1).flatten(0, 1)
        middle = _attention(query_blocks[:, 1:-1], gathered(keys), gathered(values), bias)
        # The last row's result goes to the document's own last block; what is beyond is padding.
        context = torch.cat([whole[:, None, :block_size], middle, whole[:, None, block_size:]], dim=1)
        is_last = torch.arange(rows + 2, device=query.device) == last[:, None]
        context = torch.where(is_last[..., None, None], whole[:, None, block_size:], context)
        return heads_together(context.reshape(batch, heads, length, head_dim))


def _attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Attend in single precision: on CPUs the operator's gradients are faster in it than in bfloat16."""
    dtype = query.dtype
    with torch.autocast(query.device.type, enabled=False):
        mask = bias.float().expand(*query.shape[:2], 1, key.shape[2])
        context = F.scaled_dot_product_attention(query.float(), key.float(), value.float(), attn_mask=mask, scale=1.0)
    return context.to(dtype)
