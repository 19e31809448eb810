"""Attention in one operator: the kernel for GPUs, which fuse all of it and take no mask but a length.

In a graph that operator is onnxruntime's `com.microsoft.MultiHeadAttention` with `key_padding_mask` of shape
`[sequences]`, which it reads as key lengths. Of all forms of a mask it is the only one with which CUDA keeps to a fused
kernel (cuDNN's), and the CPU takes it as well. Outside a graph the same is computed here from single operators, which
makes the model its own reference.

Full attention is dense, one sequence for each document. For the block-sparse rows the slots of
`block_sparse_attention` are ordered so that the padding of a row is a length. The key blocks of a query block are
gathered into one sequence, in which all that counts comes first:

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

import math
from dataclasses import dataclass

import torch

from model_export.nn.attention import AttentionLayout, BlockSparseSlots, Dropout, masked_score
from model_export.nn.block_sparse_attention import WINDOW

# Sequences that are computed at a time, so that memory does not grow with the batch.
_SEQUENCES = 128


def key_length_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    key_lengths: torch.Tensor,
    heads: int,
    *,
    causal: bool = False,
) -> torch.Tensor:
    """Attend to the first `key_lengths` keys.

    Args:
        query: Not scaled, `[sequences, queries, width]`.
        key: `[sequences, keys, width]`.
        value: `[sequences, keys, width]`.
        key_lengths: int32 `[sequences]`, each at least 1. What stands behind does not count at all.
        heads: Among which the width is divided.
        causal: Each query attends to the keys up to its own place only; there are as many queries as keys.

    Returns:
        `[sequences, queries, width]`.
    """
    if torch.onnx.is_in_onnx_export():
        return _operator(query, key, value, key_lengths, heads, causal)
    return torch.cat(
        [
            _attend(
                query[start : start + _SEQUENCES],
                key[start : start + _SEQUENCES],
                value[start : start + _SEQUENCES],
                key_lengths[start : start + _SEQUENCES],
                heads,
                causal,
            )
            for start in range(0, len(query), _SEQUENCES)
        ]
    )


def _operator(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, key_lengths: torch.Tensor, heads: int, causal: bool
) -> torch.Tensor:
    """Stand for the operator in the graph that is being traced."""
    context: torch.Tensor = torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention",
        (query, key, value, None, key_lengths),
        {"num_heads": heads, "unidirectional": int(causal), "mask_filter_value": masked_score(query.dtype)},
        dtype=query.dtype,
        shape=query.shape,
        version=1,
    )
    return context


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, key_lengths: torch.Tensor, heads: int, causal: bool
) -> torch.Tensor:
    """Attend as fused kernels do: half-precision inputs and outputs, scores and sums in float32."""

    def heads_apart(states: torch.Tensor) -> torch.Tensor:
        # [sequences, length, width] -> [sequences, heads, length, head_dim]
        wide = states.float() if states.dtype.itemsize == 2 else states
        return wide.view(*wide.shape[:2], heads, -1).transpose(1, 2)

    queries, keys, values = heads_apart(query), heads_apart(key), heads_apart(value)
    scores = queries @ keys.transpose(-1, -2) * (1 / math.sqrt(queries.shape[-1]))
    place = torch.arange(keys.shape[2], device=keys.device)
    scores = scores.masked_fill(place >= key_lengths[:, None, None, None], -torch.inf)
    if causal:
        scores = scores.masked_fill(place > place[:, None], -torch.inf)
    # Kernels multiply the weights in the type of the values.
    weights = scores.softmax(dim=-1).to(value.dtype).to(values.dtype)
    return (weights @ values).transpose(1, 2).reshape(query.shape).to(query.dtype)


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


class FusedAttention:
    """Every attention is one operator; it has no place for dropout, so this is for evaluation only."""

    def full(self, attention_mask: torch.Tensor, dtype: torch.dtype, *, causal: bool) -> AttentionLayout:
        """Lay out a batch with full attention."""
        return FusedFullLayout(attention_mask.sum(dim=1).int(), causal)

    def block_sparse(self, attention_mask: torch.Tensor, block_size: int, dtype: torch.dtype) -> BlockSparseSlots:
        """Lay out the slots of a batch that are not random."""
        return FusedSlots(attention_mask.sum(dim=1), block_size, attention_mask.shape[1] // block_size)


@dataclass(frozen=True, eq=False, slots=True)
class FusedFullLayout:
    """Documents, each of one length.

    Attributes:
        lengths: Tokens of each document, int32 `[batch]`.
        causal: Whether tokens attend to earlier ones only.
    """

    lengths: torch.Tensor
    causal: bool

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, dropout: Dropout
    ) -> torch.Tensor:
        """Attend; see `AttentionLayout`."""
        return key_length_attention(query, key, value, self.lengths, heads, causal=self.causal)
