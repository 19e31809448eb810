"""A logit for every piece of the vocabulary, at the positions that are asked about and nowhere else.

Logits for all positions of a long document would be 800 MB at 4096 tokens and 50,358 pieces; a masked token, or the
next one of a text, needs a single row.
"""

import torch
import torch.nn.functional as F
from torch import nn

from model_export.config import BigBirdConfig
from model_export.nn.activations import get_activation
from model_export.nn.number_format import in_format_of


class LanguageModelHead(nn.Module):
    """Transform, then a product with the word embeddings (or a matrix of its own), plus a bias for each piece."""

    def __init__(self, config: BigBirdConfig) -> None:
        super().__init__()
        hidden, vocabulary = config.hidden_size, config.vocab_size
        self.transform = nn.ModuleDict(
            {"dense": nn.Linear(hidden, hidden), "norm": nn.LayerNorm(hidden, eps=config.layer_norm_eps)}
        )
        self.activation = get_activation(config.hidden_act)
        self.decoder_bias = nn.Parameter(torch.zeros(vocabulary))
        self.decoder_weight = None
        if not config.tie_word_embeddings:
            self.decoder_weight = nn.Parameter(torch.empty(vocabulary, hidden).normal_(std=config.initializer_range))

    def forward(self, hidden: torch.Tensor, positions: torch.Tensor, word_embeddings: torch.Tensor) -> torch.Tensor:
        """Return the logits at the given positions.

        Args:
            hidden: `[batch, length, hidden]`.
            positions: int64 `[batch, positions]`, each below the length.
            word_embeddings: `[vocabulary, hidden]`, used if the head is tied to them.

        Returns:
            `[batch, positions, vocabulary]`.
        """
        batch, length, width = hidden.shape
        first_of_document = torch.arange(batch, device=hidden.device)[:, None] * length
        # [batch * positions, hidden]: two axes, so that the tied matrix is used as it lies, not transposed
        asked = hidden.reshape(batch * length, width).index_select(0, (first_of_document + positions).flatten())
        transformed = self.transform["norm"](self.activation(self.transform["dense"](asked)))
        weight = word_embeddings if self.decoder_weight is None else self.decoder_weight
        if weight.dtype == self.decoder_bias.dtype:
            logits = F.linear(transformed, weight, self.decoder_bias)
        else:
            logits = F.linear(in_format_of(weight, transformed), weight) + self.decoder_bias
        return logits.view(batch, positions.shape[1], len(weight))
