"""The position-wise half of a layer: widen, activate, narrow, add, normalise."""

import torch
from torch import nn

from model_export.config import BigBirdConfig
from model_export.nn.activations import get_activation
from model_export.nn.number_format import in_format_of


class FeedForward(nn.Module):
    """Two linear maps around an activation, with a residual connection and a LayerNorm after it."""

    def __init__(self, config: BigBirdConfig) -> None:
        super().__init__()
        self.widen = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = get_activation(config.hidden_act)
        self.narrow = nn.Linear(config.intermediate_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        """Map `[batch, length, hidden]` to the same shape; `residual` is the input unless another is given."""
        widened = self.activation(self.widen(in_format_of(self.widen.weight, hidden)))
        narrowed = self.dropout(self.narrow(widened))
        normalised: torch.Tensor = self.norm(narrowed + (hidden if residual is None else residual))
        return normalised
