"""The whole model: embeddings, encoder, head. This is what is traced."""

import copy
import math
from typing import Any

import torch
from torch import nn

from model_export.config import BigBirdConfig
from model_export.nn.encoder import Encoder
from model_export.nn.heads import HEADS, LanguageModelHead
from model_export.nn.number_format import in_format_of
from model_export.patterns.pattern import Pattern


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


class BigBird(nn.Module):
    """A BigBird encoder with one task head. Forward is pure: no random numbers outside dropout, no state."""

    def __init__(self, config: BigBirdConfig, head: nn.Module, pattern: Pattern) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config, pattern)
        self.head = head

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor,
        positions: torch.Tensor | None = None,
    ) -> Any:
        """Return what the head returns: one tensor, of the encoder alone a tensor or two.

        Args:
            input_ids: int64 `[batch, length]`.
            attention_mask: int64 `[batch, length]`, 1 on real tokens, padding on the right, at least one real token.
            token_type_ids: int64 `[batch, length]`.
            positions: int64 `[batch, positions]`, where a language model is asked; other heads take none.
        """
        hidden = self.encoder(self.embeddings(input_ids, token_type_ids), attention_mask)
        if isinstance(self.head, LanguageModelHead):
            return self.head(hidden, positions, self.embeddings.word.weight)
        return self.head(hidden)


def build_model(config: BigBirdConfig, task: str, pattern: Pattern) -> BigBird:
    """Return a model in training mode with PyTorch's default initial weights.

    Args:
        config: The model's shape.
        task: A key of `HEADS`.
        pattern: Where the random blocks come from.
    """
    return BigBird(config, HEADS[task](config), pattern)


def twin_of(model: BigBird) -> BigBird:
    """Return a copy of a model that shares its weights, so that one of the two may be changed otherwise."""
    return copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()})
