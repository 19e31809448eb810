"""The slots of `block_sparse_attention`, ordered so that the padding of a row is a length.

The key blocks of a query block are gathered into one sequence, in which all that counts comes first:

    block 0, once and its further copies | window | random | the document's last block, once or more | dropped slots

- There is no bias, so a block that counts several times stands there several times.
- The document's last block may be partly filled. Where random slots repeat it, its tokens are repeated without its
  padding: they are taken from a tail behind the document's blocks, in which they stand again and again.
- Where all heads share their key blocks, a sequence holds whole hidden states: heads are an axis inside the operator,
  and nothing is transposed. Where they differ, a sequence holds one head, and heads are further sequences, because a
  length belongs to a sequence and heads may drop different slots.

An axis of a CUDA grid ends at 65,535, and sequences times heads of one call must stay within it: at 4,096 tokens and
twelve heads a run may hold 88 documents.
"""

from dataclasses import dataclass

import torch

from model_export.nn.attention_kernel import AttentionLayout
from model_export.nn.block_sparse_attention import WINDOW
from model_export.nn.fused_block_layout import FusedBlockLayout


@dataclass(frozen=True, eq=False, slots=True)
class FusedSlots:
    """The documents of a batch.

    Attributes:
        lengths: Tokens of each document, int64 `[batch]`.
        block_size: Tokens in a block.
        blocks: Of the bucket.
    """

    lengths: torch.Tensor
    block_size: int
    blocks: int

    @property
    def document_blocks(self) -> torch.Tensor:
        """Number of blocks of each document, int64 `[batch]`."""
        return (self.lengths + self.block_size - 1) // self.block_size

    def layout(self, random_blocks: torch.Tensor, first_block_copies: int) -> AttentionLayout:
        """Order the slots of each row; see `BlockSparseSlots`."""
        device, batch, blocks = self.lengths.device, self.lengths.shape[0], self.blocks
        _, heads, rows, random_count = random_blocks.shape
        groups = heads if random_count else 1
        last = (self.document_blocks - 1)[:, None, None, None]

        def spread(slots: torch.Tensor) -> torch.Tensor:
            return slots.expand(batch, groups, rows, slots.shape[-1])

        first = torch.zeros(1 + first_block_copies, dtype=torch.int64, device=device)
        window = torch.arange(1, blocks - 1, device=device)[:, None] + torch.tensor(WINDOW, device=device)
        # Everything but the last block: [batch, groups, rows, slots]
        key_blocks = [spread(first), spread(window)]
        counts = [spread(first == 0), spread((window > 0) & (window < last))]
        if random_count:
            key_blocks.append(spread(random_blocks))
            counts.append(spread(random_blocks < last))
        ordered, whole_blocks = _counting_first(torch.cat(key_blocks, dim=-1), torch.cat(counts, dim=-1))

        place = torch.arange(ordered.shape[-1], device=device)
        tokens_in_last = self.lengths[:, None, None, None] - last * self.block_size
        tail_blocks = 1 + random_count if random_count else 0
        if tail_blocks:
            last_count = 1 + (random_blocks == last).long().sum(dim=-1, keepdim=True)
            is_tail = (place >= whole_blocks) & (place < whole_blocks + last_count)
            ordered = torch.where(is_tail, blocks + place - whole_blocks, ordered)
            key_lengths = whole_blocks * self.block_size + last_count * tokens_in_last
        else:
            ordered = torch.where(place == whole_blocks, last, ordered)
            key_lengths = whole_blocks * self.block_size + tokens_in_last
        sequence = torch.arange(batch * groups, device=device).view(batch, groups, 1, 1)
        return FusedBlockLayout(
            block_size=self.block_size,
            groups=groups,
            lengths=self.lengths.int(),
            last_block=self.document_blocks - 1,
            key_blocks=(sequence * (blocks + tail_blocks) + ordered).flatten(),
            key_lengths=key_lengths.int().flatten(),
            tail=self._tail(tail_blocks, sequence) if tail_blocks else None,
        )

    def _tail(self, tail_blocks: int, sequence: torch.Tensor) -> torch.Tensor:
        """Return where the tokens of the tails stand, int64 `[batch * groups * tail_blocks * block_size]`."""
        first_token = ((self.document_blocks - 1) * self.block_size)[:, None]
        count = self.lengths[:, None] - first_token
        place = torch.arange(tail_blocks * self.block_size, device=self.lengths.device)
        # [batch, tokens]: the last block's tokens over and over
        tokens = first_token + place - place // count * count
        return (sequence[..., 0] * (self.blocks * self.block_size) + tokens[:, None]).flatten()


def _counting_first(key_blocks: torch.Tensor, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Move the slots that count to the front, and add one place.

    Args:
        key_blocks: int64 `[batch, groups, rows, slots]`.
        counts: bool, of the same shape.

    Returns:
        int64 `[batch, groups, rows, slots + 1]`, block 0 behind the slots that count, and their number, int64
        `[batch, groups, rows, 1]`.
    """
    goes_to = counts.long().cumsum(dim=-1) - 1
    place = torch.arange(key_blocks.shape[-1] + 1, device=key_blocks.device)
    # [batch, groups, rows, places, slots]
    is_there = counts[..., None, :] & (goes_to[..., None, :] == place[:, None])
    moved = torch.where(is_there, key_blocks[..., None, :], 0).sum(dim=-1)
    return moved, goes_to[..., -1:] + 1
