"""Every query attends to every real key."""

from collections.abc import Callable

import torch

Dropout = Callable[[torch.Tensor], torch.Tensor]


def full_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, key_bias: torch.Tensor, dropout: Dropout
) -> torch.Tensor:
    """Softmax attention.

    Args:
        query: Scaled queries, `[batch, heads, queries, head_dim]`.
        key: `[batch, heads, length, head_dim]`.
        value: `[batch, heads, length, head_dim]`.
        key_bias: Added to the scores, `[batch, 1, 1, length]`.
        dropout: Applied to the attention weights.

    Returns:
        `[batch, heads, queries, head_dim]`.
    """
    scores = query @ key.transpose(-1, -2) + key_bias
    return dropout(scores.softmax(dim=-1)) @ value
