"""The interface between the trainer and the three tasks it can train."""

from typing import Protocol, TypeVar

import torch
from torch import nn

from demo.batches import Lengths
from model_export.config import BigBirdConfig
from model_export.nn.model import BigBird

ExamplesT = TypeVar("ExamplesT")


class Objective(Protocol[ExamplesT]):
    """What a task learns: its labels, its examples, its loss and its scores on reports it has not seen."""

    task: str
    labels: tuple[str, ...]

    def training_aids(self, config: BigBirdConfig) -> nn.Module:
        """Build the modules that are trained beside the model and thrown away afterwards."""
        ...

    def examples(self, number: int, lengths: Lengths, tokens: int, first_seed: int) -> ExamplesT:
        """Draws batch ``number``, which holds about ``tokens`` tokens."""
        ...

    def loss(self, model: BigBird, aids: nn.Module, examples: ExamplesT, shift: int) -> torch.Tensor:
        """Compute the loss of a batch whose texts are moved by ``shift`` positions."""
        ...

    def scores(self, model: BigBird, lengths: Lengths, batches: int, tokens: int) -> dict[str, float]:
        """Measures the task on that many batches of validation reports: the main score first; 1 is perfect."""
        ...
