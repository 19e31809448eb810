"""One vector for a whole document: a dense layer on the first token's hidden state."""

import torch
from torch import nn

from model_export.config import BigBirdConfig


class Pooler(nn.Linear):
    """Dense layer and tanh on the first token, trained with the next-sentence objective of BERT."""

    def __init__(self, config: BigBirdConfig) -> None:
        super().__init__(config.hidden_size, config.hidden_size)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map `[batch, length, hidden]` to `[batch, hidden]`."""
        return torch.tanh(super().forward(hidden[:, 0]))
