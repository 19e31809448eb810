"""BigBird written down the slow way: every query against every key, with a count of how often the key is attended.

An independent second reference for what transformers cannot do (no random blocks) or does only in training (tables
that differ from head to head). Weights, embeddings, feed-forward layers and heads are transformers' own modules, in
float64; the attention is written here from the published description, with plain loops.
"""

import copy
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import transformers

from model_export.patterns.pattern import RandomBlocks
from tests.model_export.reference_models import Document

Table = Sequence[Sequence[int]]
"""For each middle row, the key blocks of its random slots; the first entry belongs to block 1."""


class TablePattern:
    """Random blocks from tables `[layers][heads][rows][slots]`, as a seeded pattern would draw them."""

    name = "tables"

    def __init__(self, tables: Sequence[Sequence[Table]]) -> None:
        self._tables = tables

    def random_blocks(
        self, layer: int, *, heads: int, slots: int, block_size: int, max_position_embeddings: int
    ) -> RandomBlocks:
        table = np.array(self._tables[layer], dtype=np.int64)
        assert table.shape == (heads, max_position_embeddings // block_size - 2, slots)
        return RandomBlocks(table)


def attended_counts(blocks: int, random_blocks: Table, last_block: int) -> npt.NDArray[np.float64]:
    """Return how often each block attends to each, `[query blocks, key blocks]`.

    Args:
        blocks: Number of blocks of the document.
        random_blocks: A row for each middle block; what points beyond the document is dropped.
        last_block: The block that is global beside the first: the document's last one, or, for the mistake of not
            anchoring it, one of padding beyond the document.
    """
    counts = np.zeros((blocks, blocks))
    for row in range(blocks):
        if row == 0 or row == last_block:
            counts[row, :] = 1
            continue
        for key in {0, row - 1, row, row + 1, last_block}:
            if key < blocks:
                counts[row, key] += 1
        for key in random_blocks[row - 1]:
            if key < blocks:
                counts[row, key] += 1
    return counts


def dense_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, counts: torch.Tensor, block_size: int
) -> torch.Tensor:
    """Attend with a count for every pair: a key that is attended twice is there twice.

    Args:
        query: One document's unscaled queries, `[heads, length, head_dim]`.
        key: `[heads, length, head_dim]`.
        value: `[heads, length, head_dim]`.
        counts: `[heads, query blocks, key blocks]`.
        block_size: Tokens in a block; the document's last block may be partly filled.
    """
    block_of = torch.arange(query.shape[1]) // block_size
    scores = query / query.shape[-1] ** 0.5 @ key.transpose(-1, -2)
    # In place: of long documents each such array is a hundred megabytes.
    weights = scores.exp_().mul_(counts[:, block_of][:, :, block_of])
    return weights @ value / weights.sum(-1, keepdim=True)


def dense_logits(
    model: transformers.PreTrainedModel,
    document: Document,
    tables: Sequence[Sequence[Table]] | None,
    padded_length: int | None = None,
) -> npt.NDArray[np.float64]:
    """Return a document's logits.

    Args:
        model: Gives weights and configuration.
        document: The exact document.
        tables: For each layer and head, the random blocks; None for full attention.
        padded_length: The last block is that of this length instead of the document's own.
    """
    double = copy.deepcopy(model).double().eval()
    config, length = model.config, len(document)
    blocks = -(-length // config.block_size)
    last_block = blocks - 1 if padded_length is None else padded_length // config.block_size - 1

    def split_heads(states: torch.Tensor) -> torch.Tensor:
        return states.view(length, config.num_attention_heads, -1).transpose(0, 1)

    with torch.inference_mode():
        ids = torch.from_numpy(document.input_ids)[None]
        hidden = double.bert.embeddings(ids, torch.from_numpy(document.token_type_ids)[None])
        for number, layer in enumerate(double.bert.encoder.layer):
            if tables is None:
                counts = torch.ones(1, blocks, blocks, dtype=torch.float64)
            else:
                heads = [attended_counts(blocks, table, last_block) for table in tables[number]]
                counts = torch.from_numpy(np.stack(heads))
            attention = layer.attention.self
            states = (split_heads(part(hidden)) for part in (attention.query, attention.key, attention.value))
            context = dense_attention(*states, counts, config.block_size)
            merged = context.transpose(0, 1).reshape(1, length, -1)
            attended = layer.attention.output(merged, hidden)
            hidden = layer.output(layer.intermediate(attended), attended)
        if isinstance(model, transformers.BigBirdForQuestionAnswering):
            return double.qa_classifier(hidden)[0].numpy()
        return double.classifier(hidden)[0].numpy()


def same_for_all(config: transformers.BigBirdConfig, slots: Sequence[int]) -> list[list[Table]]:
    """Return tables in which every row of every head and layer has the same random slots."""
    rows = config.max_position_embeddings // config.block_size - 2
    return [[[list(slots)] * rows] * config.num_attention_heads] * config.num_hidden_layers
