"""Additive attention biases from a padding mask."""

import torch


def masked_score(dtype: torch.dtype) -> float:
    """Return the score of a key that must not count: its softmax weight is exactly 0 beside any real key."""
    return torch.finfo(dtype).min


def key_bias(attention_mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return 0 for real keys and `masked_score` for padding, `[batch, 1, 1, length]`.

    Args:
        attention_mask: int64 `[batch, length]`, 1 on real tokens.
        dtype: Floating type of the attention scores.
    """
    is_padding = (attention_mask == 0)[:, None, None, :]
    zero = torch.zeros((), dtype=dtype, device=attention_mask.device)
    return zero.masked_fill(is_padding, masked_score(dtype))
