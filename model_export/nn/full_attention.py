"""Every query attends to every real key."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

Dropout = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, eq=False, slots=True)
class FullLayout:
    """Which keys of a batch count.

    Attributes:
        bias: Added to the scores, `[batch, 1, 1 or length, length]`.
    """

    bias: torch.Tensor

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, dropout: Dropout
    ) -> torch.Tensor:
        """Attend; see `AttentionLayout`."""
        context = full_attention(*heads_apart(query, key, value, heads), self.bias, dropout)
        return heads_together(context)


def heads_apart(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scale the queries, and divide all three of `[batch, length, hidden]` to `[batch, heads, length, head_dim]`."""
    batch, length, width = query.shape
    head_dim = width // heads

    def apart(states: torch.Tensor) -> torch.Tensor:
        return states.view(batch, length, heads, head_dim).transpose(1, 2)

    return apart(query * (1 / math.sqrt(head_dim))), apart(key), apart(value)


def heads_together(context: torch.Tensor) -> torch.Tensor:
    """Turn `[batch, heads, length, head_dim]` into `[batch, length, hidden]`."""
    batch, heads, length, head_dim = context.shape
    return context.transpose(1, 2).reshape(batch, length, heads * head_dim)


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
    return attention_weights(scores, dropout, value) @ value


def attention_weights(scores: torch.Tensor, dropout: Dropout, value: torch.Tensor) -> torch.Tensor:
    """Return the softmax of scores over their last axis, in the type of the values; biases make scores float32."""
    weights = dropout(scores.softmax(dim=-1))
    return weights if weights.dtype == value.dtype else weights.to(value.dtype)
