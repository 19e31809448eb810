"""The interface between the trainer and the three tasks it can train."""

from typing import Protocol

import torch
from torch import nn
from torch.func import functional_call

from model_export.config import BigBirdConfig
from model_export.demo.batches import Batch, Lengths
from model_export.nn.model import BigBird

_QUESTION_POSITIONS = 20


class Objective(Protocol):
    """What a task learns: its labels, its loss and its score on reports it has not seen."""

    task: str
    labels: tuple[str, ...]
    score_name: str

    def training_aids(self, config: BigBirdConfig) -> nn.Module:
        """Builds the modules that are trained beside the model and thrown away afterwards."""

    def loss(self, model: BigBird, aids: nn.Module, number: int, lengths: Lengths, tokens: int) -> torch.Tensor:
        """Computes the loss of training batch ``number``, which holds about ``tokens`` tokens."""

    def score(self, model: BigBird, lengths: Lengths, batches: int, tokens: int) -> float:
        """Measures the task on that many batches of validation reports; 1 is perfect."""


def logits_of(model: BigBird, batch: Batch, shift: int = 0) -> torch.Tensor:
    """Runs the model on a batch.

    Args:
        model: The model.
        batch: Its inputs.
        shift: So many positions are left out after the question.
    """
    inputs = (batch.input_ids, batch.attention_mask, batch.token_type_ids)
    if shift == 0:
        logits: torch.Tensor = model(*inputs)
        return logits
    rows = model.embeddings.position.weight
    shifted = torch.cat([rows[:_QUESTION_POSITIONS], rows[_QUESTION_POSITIONS + shift :]])
    logits = functional_call(model, {"embeddings.position.weight": shifted}, inputs)
    return logits
