"""Block-sparse attention over gathered sequences of key blocks, in the order of `fused_slots`."""

from dataclasses import dataclass

import torch

from model_export.nn.full_attention import Dropout
from model_export.nn.key_length_attention import key_length_attention


@dataclass(frozen=True, eq=False, slots=True)
class FusedBlockLayout:
    """Where each block row of a batch looks, as sequences of blocks with a length.

    Attributes:
        block_size: Tokens in a block.
        groups: 1 where all heads share their key blocks, otherwise the number of heads.
        lengths: Tokens of each document, int32 `[batch]`.
        last_block: Index of each document's last block, int64 `[batch]`.
        key_blocks: Which blocks follow each other in the sequences of the middle rows, int64
            `[batch * groups * rows * slots]`, an index into the blocks and tails of all documents and groups.
        key_lengths: How many tokens of each sequence count, int32 `[batch * groups * rows]`.
        tail: The tokens of each document's and group's tail, an index into all their tokens; None without tails.
    """

    block_size: int
    groups: int
    lengths: torch.Tensor
    last_block: torch.Tensor
    key_blocks: torch.Tensor
    key_lengths: torch.Tensor
    tail: torch.Tensor | None

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, dropout: Dropout
    ) -> torch.Tensor:
        """Attend; see `AttentionLayout`. Rows beyond a document's last block are copies of its first row."""
        batch, length, width = query.shape
        block_size, blocks = self.block_size, length // self.block_size
        block_width = block_size * width
        document = torch.arange(batch, device=query.device)

        # The two global rows as one sequence: [batch, 2 * block_size, width]
        whole_blocks = query.view(batch * blocks, block_width)
        last_query = whole_blocks.index_select(0, document * blocks + self.last_block)
        global_query = torch.cat([query[:, :block_size], last_query.view(batch, block_size, width)], dim=1)
        global_context = key_length_attention(global_query, key, value, self.lengths, heads)
        first_context, last_context = global_context.view(batch, 2, block_width).chunk(2, dim=1)

        middle_context = self._middle_rows(query, key, value, heads)

        # The last row stands at the document's own last block; what is beyond is padding (see `encoder`).
        padding = global_context[:, :1].expand(batch, block_size, width).reshape(batch, 1, block_width)
        results = torch.cat([first_context, middle_context, last_context, padding], dim=1)
        row, last_row = torch.arange(blocks, device=query.device), self.last_block[:, None]
        # [batch, blocks]: where each row's result stands
        source = torch.where(row < last_row, row, torch.where(row == last_row, blocks - 1, blocks))
        flat_rows = (document[:, None] * (blocks + 1) + source).flatten()
        return results.view(batch * (blocks + 1), block_width).index_select(0, flat_rows).view(batch, length, width)

    def _middle_rows(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int) -> torch.Tensor:
        """Return the contexts of the middle rows, `[batch, rows, block_size * width]`."""
        batch, length, width = query.shape
        rows, group_width = length // self.block_size - 2, width // self.groups
        # [batch, groups, rows, block_size, group_width]
        queries = self._in_blocks(query)[:, :, 1:-1]
        context = key_length_attention(
            queries.reshape(batch * self.groups * rows, self.block_size, group_width),
            self._gathered(key),
            self._gathered(value),
            self.key_lengths,
            heads // self.groups,
        )
        if self.groups == 1:
            return context.view(batch, rows, self.block_size * width)
        by_group = context.view(batch, self.groups, rows * self.block_size, group_width)
        return by_group.transpose(1, 2).reshape(batch, rows, self.block_size * width)

    def _gathered(self, states: torch.Tensor) -> torch.Tensor:
        """Return the sequences of all middle rows, `[batch * groups * rows, slots * block_size, group_width]`."""
        in_blocks = self._in_blocks(states)
        batch, groups, blocks, block_size, group_width = in_blocks.shape
        block_width = block_size * group_width
        whole_blocks = in_blocks.reshape(batch * groups, blocks, block_width)
        if self.tail is not None:
            tokens = whole_blocks.view(batch * groups * blocks * block_size, group_width).index_select(0, self.tail)
            whole_blocks = torch.cat([whole_blocks, tokens.view(batch * groups, -1, block_width)], dim=1)
        sequences = whole_blocks.view(-1, block_width).index_select(0, self.key_blocks)
        return sequences.view(batch * groups * (blocks - 2), -1, group_width)

    def _in_blocks(self, states: torch.Tensor) -> torch.Tensor:
        """Divide `[batch, length, width]` into `[batch, groups, blocks, block_size, group_width]`."""
        batch, length, width = states.shape
        blocks = length // self.block_size
        if self.groups == 1:
            return states.view(batch, 1, blocks, self.block_size, width)
        apart = states.view(batch, blocks, self.block_size, self.groups, width // self.groups)
        return apart.permute(0, 3, 1, 2, 4)
