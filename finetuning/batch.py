"""Model inputs of a batch: padded on the right to whole blocks, as the encoder takes them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from finetuning.rows import Row
from model_export.config import BigBirdConfig


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded inputs.

    Attributes:
        input_ids: int64 `[rows, length]`.
        attention_mask: int64 `[rows, length]`, 1 on real tokens.
        token_type_ids: int64 `[rows, length]`.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    token_type_ids: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""
        return Batch(self.input_ids.to(device), self.attention_mask.to(device), self.token_type_ids.to(device))

    @property
    def inputs(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What the model takes, in its order."""
        return self.input_ids, self.attention_mask, self.token_type_ids


def padded_length(length: int, config: BigBirdConfig) -> int:
    """Return the length to which a row is padded: whole blocks, within the model's positions."""
    blocks = -(-length // config.block_size)
    return min(blocks * config.block_size, config.max_length)


def pad(rows: Sequence[Row], config: BigBirdConfig) -> Batch:
    """Pad rows to the longest of them."""
    length = padded_length(max(len(row) for row in rows), config)
    ids = np.full((len(rows), length), config.pad_token_id, dtype=np.int64)
    mask, types = (np.zeros((len(rows), length), dtype=np.int64) for _ in range(2))
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row.ids
        mask[index, : len(row)] = 1
        types[index, row.second : len(row)] = 1
    return Batch(torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(types))


def uses_full_attention(length: int, config: BigBirdConfig) -> bool:
    """Tell whether a row of so many tokens uses full attention; a batch must not mix the two kinds."""
    return padded_length(length, config) <= config.full_attention_edge
