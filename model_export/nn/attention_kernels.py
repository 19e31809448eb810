"""The attention kernels by the names that the command line and the manifest give them."""

from model_export.nn.attention import AttentionKernel
from model_export.nn.block_sparse_attention import ComposedAttention
from model_export.nn.fused_attention import FusedAttention
from model_export.nn.model import BigBird, twin_of

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
