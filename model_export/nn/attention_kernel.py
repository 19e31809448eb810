"""What the encoder asks of attention, so that it need not know how attention is computed.

There are two kernels: `composed` (products and softmax as single operators, which every execution provider has) and
`fused` (one operator, for GPUs). Both compute the same sums.
"""

from typing import Protocol

import torch

from model_export.nn.full_attention import Dropout


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
