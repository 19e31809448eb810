"""Position embeddings that repeat, so that a model trained on short reports knows every position of a long one.

Attention is local apart from the first block: no token needs to know where in a long document it stands, only where its
neighbours stand. The embeddings of positions 1,024 apart are therefore kept equal. They start as sinusoids whose waves
fit into that period a whole number of times, and every training batch is moved to a place of its own within it.
"""

import torch
from torch.func import functional_call

from demo.batches import Batch
from model_export.nn.model import BigBird

PERIOD = 1024
_UNMOVED = 20


def sinusoids(positions: int, width: int) -> torch.Tensor:
    """Compute position embeddings in the manner of Vaswani et al. 2017 (section 3.5), ``[positions, width]``.

    Their wavelengths grow geometrically; these divide the period, and no two are equal.
    """
    waves = width // 2
    fastest = PERIOD / (2 * torch.pi)
    cycles = [max(wave + 1, round(fastest ** (wave / max(1, waves - 1)))) for wave in range(waves)]
    angles = torch.arange(positions)[:, None] * torch.tensor(cycles) * (2 * torch.pi / PERIOD)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def rows_of_positions(length: int, shift: int) -> torch.Tensor:
    """Tells which embedding each position gets, int64 ``[length]``.

    Args:
        length: How many positions.
        shift: So many are left out after the first ones, which a question may take.
    """
    positions = torch.arange(length)
    return torch.where(positions < _UNMOVED, positions, positions + shift) % PERIOD


def logits_of(model: BigBird, batch: Batch, shift: int = 0) -> torch.Tensor:
    """Run the model on a batch with repeating positions, moved by ``shift``."""
    rows = rows_of_positions(batch.input_ids.shape[1], shift)
    weights = {"embeddings.position.weight": model.embeddings.position.weight[rows]}
    inputs = (batch.input_ids, batch.attention_mask, batch.token_type_ids)
    logits: torch.Tensor = functional_call(model, weights, inputs)
    return logits


@torch.no_grad()
def repeat_positions(model: BigBird) -> None:
    """Write the repetition into the model's own embeddings, as it is to be saved."""
    weight = model.embeddings.position.weight
    weight.copy_(weight[rows_of_positions(len(weight), 0)].clone())
