"""Attention in one operator: the kernel for GPUs, which fuse all of it and take no mask but a length.

Buckets with full attention are dense, one sequence for each document; the block-sparse rows are laid out in
`fused_slots` and computed in `fused_block_layout`.
"""

from dataclasses import dataclass

import torch

from model_export.nn.attention_kernel import AttentionLayout, BlockSparseSlots
from model_export.nn.full_attention import Dropout
from model_export.nn.fused_slots import FusedSlots
from model_export.nn.key_length_attention import key_length_attention


class FusedAttention:
    """Every attention is one operator; it has no place for dropout, so this is for evaluation only."""

    def full(self, attention_mask: torch.Tensor, dtype: torch.dtype, *, causal: bool) -> AttentionLayout:
        """Lay out a batch with full attention."""
        return FusedFullLayout(attention_mask.sum(dim=1).int(), causal)

    def block_sparse(self, attention_mask: torch.Tensor, block_size: int, dtype: torch.dtype) -> BlockSparseSlots:
        """Lay out the slots of a batch that are not random."""
        return FusedSlots(attention_mask.sum(dim=1), block_size, attention_mask.shape[1] // block_size)


@dataclass(frozen=True, eq=False, slots=True)
class FusedFullLayout:
    """Documents, each of one length.

    Attributes:
        lengths: Tokens of each document, int32 `[batch]`.
        causal: Whether tokens attend to earlier ones only.
    """

    lengths: torch.Tensor
    causal: bool

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, dropout: Dropout
    ) -> torch.Tensor:
        """Attend; see `AttentionLayout`."""
        return key_length_attention(query, key, value, self.lengths, heads, causal=self.causal)
