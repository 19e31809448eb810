"""Word, position and token-type embeddings, summed and normalised."""

import math

import torch
from torch import nn

from model_export.config import BigBirdConfig
from model_export.nn.number_format import in_format_of


class Embeddings(nn.Module):
    """Turns token ids into the encoder's first hidden states."""

    def __init__(self, config: BigBirdConfig) -> None:
        super().__init__()
        self.word = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.word_scale = math.sqrt(config.hidden_size) if config.rescale_embeddings else 1.0

    def forward(self, input_ids: torch.Tensor, token_type_ids: torch.Tensor) -> torch.Tensor:
        """Embed int64 `[batch, length]` ids and token types as `[batch, length, hidden]`."""
        length = input_ids.shape[1]
        words = self.word(input_ids)
        if self.word_scale != 1.0:
            words = words * self.word_scale
        # [batch, length, hidden] + [length, hidden]
        hidden = words + self.token_type(token_type_ids) + self.position.weight[:length]
        normalised: torch.Tensor = self.norm(in_format_of(self.norm.weight, self.dropout(hidden)))
        return normalised
