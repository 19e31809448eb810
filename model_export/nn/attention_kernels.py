"""The attention kernels by the names that the command line and the manifest give them."""

import torch

from model_export.nn.attention import (
    AttentionKernel,
    AttentionLayout,
    BlockSparseSlots,
    FullLayout,
    causal_bias,
    key_bias,
)
from model_export.nn.block_sparse_attention import fixed_slots
from model_export.nn.fused_attention import FusedAttention
from model_export.nn.model import BigBird, twin_of


class ComposedAttention:
    """Masked keys get a score so low that their weight is 0; repeated keys get a bias in place of copies."""

    def full(self, attention_mask: torch.Tensor, dtype: torch.dtype, *, causal: bool) -> AttentionLayout:
        """Lay out a batch with full attention."""
        return FullLayout((causal_bias if causal else key_bias)(attention_mask, dtype))

    def block_sparse(self, attention_mask: torch.Tensor, block_size: int, dtype: torch.dtype) -> BlockSparseSlots:
        """Lay out the slots of a batch that are not random."""
        return fixed_slots(attention_mask, block_size, dtype)


KERNELS: dict[str, AttentionKernel] = {"composed": ComposedAttention(), "fused": FusedAttention()}


def with_kernel(model: BigBird, name: str) -> BigBird:
    """Return the same model with another attention kernel; the weights are shared, not copied.

    Args:
        model: The model.
        name: A key of `KERNELS`.
    """
    twin = twin_of(model)
    twin.encoder.kernel = KERNELS[name]
    return twin
