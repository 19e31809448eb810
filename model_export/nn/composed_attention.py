"""Attention composed of products, biases and softmax: the kernel for CPUs, and the reference for the other one."""

import torch

from model_export.nn.attention_kernel import AttentionLayout, BlockSparseSlots
from model_export.nn.block_sparse_attention import fixed_slots
from model_export.nn.full_attention import FullLayout
from model_export.nn.masking import causal_bias, key_bias


class ComposedAttention:
    """Masked keys get a score so low that their weight is 0; repeated keys get a bias in place of copies."""

    def full(self, attention_mask: torch.Tensor, dtype: torch.dtype, *, causal: bool) -> AttentionLayout:
        """Lay out a batch with full attention."""
        return FullLayout((causal_bias if causal else key_bias)(attention_mask, dtype))

    def block_sparse(self, attention_mask: torch.Tensor, block_size: int, dtype: torch.dtype) -> BlockSparseSlots:
        """Lay out the slots of a batch that are not random."""
        return fixed_slots(attention_mask, block_size, dtype)
