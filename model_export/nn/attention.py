"""What the encoder asks of attention, and full attention: every query attends to every real key.

There are two kernels, so that the encoder need not know how attention is computed: `composed` (products and softmax as
single operators, which every execution provider has) and `fused` (one operator, for GPUs). Both compute the same sums.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

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


class AttentionLayout(Protocol):
    """Where the tokens of a batch look; shared by all layers for which that is the same."""

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, dropout: Dropout
    ) -> torch.Tensor:
        """Return the contexts, `[batch, length, hidden]`.

        Args:
            query: Not scaled yet, `[batch, length, hidden]`.
            key: `[batch, length, hidden]`.
            value: `[batch, length, hidden]`.
            heads: Among which `hidden` is divided.
            dropout: Applied to the attention weights, where the kernel has any.
        """
        ...


class BlockSparseSlots(Protocol):
    """What the block-sparse layouts of a batch have in common."""

    @property
    def document_blocks(self) -> torch.Tensor:
        """Number of blocks of each document, int64 `[batch]`."""
        ...

    def layout(self, random_blocks: torch.Tensor, first_block_copies: int) -> AttentionLayout:
        """Complete the layout for the layers that share these random blocks.

        Args:
            random_blocks: int64 `[batch or 1, heads or 1, blocks - 2, random slots]`. What points beyond a document's
                last block is dropped.
            first_block_copies: Further times that block 0 counts in a middle row.
        """
        ...


class AttentionKernel(Protocol):
    """A way to compute attention."""

    def full(self, attention_mask: torch.Tensor, dtype: torch.dtype, *, causal: bool) -> AttentionLayout:
        """Lay out a batch in which every token attends to every other, or to every earlier one.

        Args:
            attention_mask: int64 `[batch, length]`, 1 on real tokens, padding on the right.
            dtype: Floating type of the hidden states.
            causal: Only to earlier ones and itself.
        """
        ...

    def block_sparse(self, attention_mask: torch.Tensor, block_size: int, dtype: torch.dtype) -> BlockSparseSlots:
        """Lay out the slots of a batch that are not random.

        Args:
            attention_mask: int64 `[batch, length]`, 1 on real tokens, padding on the right; the length is whole blocks,
                at least three, and each document has at least three blocks of its own.
            block_size: Tokens in a block.
            dtype: Floating type of the hidden states.
        """
        ...
