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


def causal_bias(attention_mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return 0 for real keys up to the query's own position and `masked_score` elsewhere, `[batch, 1, length, length]`.

    Args:
        attention_mask: int64 `[batch, length]`, 1 on real tokens, padding on the right.
        dtype: Floating type of the attention scores.
    """
    # The number of real tokens up to each place. Taken from the mask, because the exporter would make a constant of
    # `length * length` bytes out of plain positions.
    place = attention_mask.cumsum(dim=1)
    # Padding sees what the first token sees, so that it stays a copy of it (see `encoder`).
    query_place = (place * attention_mask).clamp(min=1)
    is_later = (place[:, None, :] > query_place[:, :, None])[:, None]
    is_padding = (attention_mask == 0)[:, None, None, :]
    zero = torch.zeros((), dtype=dtype, device=attention_mask.device)
    return zero.masked_fill(is_padding | is_later, masked_score(dtype))
