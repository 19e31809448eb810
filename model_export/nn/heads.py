"""Task heads: from hidden states to logits.

A language model computes a logit for every piece of the vocabulary only at the positions that are asked about: for all
positions of a long document they would be 800 MB at 4096 tokens and 50,358 pieces.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn

from bigbird_inference.tasks.answer_types import ANSWER_TYPES
from model_export.config import BigBirdConfig
from model_export.nn.activations import get_activation
from model_export.nn.encoder import FeedForward
from model_export.nn.number_format import in_format_of


class Pooler(nn.Linear):
    """Dense layer and tanh on the first token, trained with the next-sentence objective of BERT."""

    def __init__(self, config: BigBirdConfig) -> None:
        super().__init__(config.hidden_size, config.hidden_size)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map `[batch, length, hidden]` to `[batch, hidden]`."""
        return torch.tanh(super().forward(hidden[:, 0]))


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


class PooledHead(nn.Module):
    """A fixed number of logits from the pooled document."""

    logits = 1

    def __init__(self, config: BigBirdConfig) -> None:
        super().__init__()
        self.pooler = Pooler(config)
        self.dropout = nn.Dropout(0.0)
        self.output = nn.Linear(config.hidden_size, self.logits)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map `[batch, length, hidden]` to `[batch, logits]`."""
        logits: torch.Tensor = self.output(self.dropout(self.pooler(hidden)))
        return logits


class AnswerTypeHead(PooledHead):
    """A logit for each kind of answer."""

    logits = len(ANSWER_TYPES)


class QuestionAnsweringHead(nn.Module):
    """One more feed-forward layer (in most sources), then a start and an end logit for every token.

    Models trained on Natural Questions also have a logit for each kind of answer, from the pooled document.
    """

    def __init__(self, config: BigBirdConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        epsilon = config.qa_layer_norm_eps or config.layer_norm_eps
        self.feed_forward = FeedForward(replace(config, layer_norm_eps=epsilon)) if config.qa_feed_forward else None
        self.output = nn.Linear(config.hidden_size, 2)
        self.answer_type = AnswerTypeHead(config) if config.has_answer_types else None

    def forward(self, hidden: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Map `[batch, length, hidden]` to `[batch, length, 2]`: start, end; and to `[batch, 5]` answer types."""
        transformed = hidden
        if self.feed_forward is not None:
            transformed = self.feed_forward(self.dropout(hidden), residual=hidden)
        logits: torch.Tensor = self.output(transformed)
        return logits if self.answer_type is None else (logits, self.answer_type(hidden))


class SequenceClassificationHead(nn.Module):
    """A dense layer on the first token, then a logit for each label."""

    def __init__(self, config: BigBirdConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(_classifier_dropout(config))
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = get_activation(config.classifier_activation or config.hidden_act)
        self.output = nn.Linear(config.hidden_size, len(config.labels))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map `[batch, length, hidden]` to `[batch, labels]`."""
        first_token = self.dropout(hidden[:, 0])
        logits: torch.Tensor = self.output(self.dropout(self.activation(self.dense(first_token))))
        return logits


class TokenClassificationHead(nn.Module):
    """A logit for each label of every token."""

    def __init__(self, config: BigBirdConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(_classifier_dropout(config))
        self.output = nn.Linear(config.hidden_size, len(config.labels))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map `[batch, length, hidden]` to `[batch, length, labels]`."""
        logits: torch.Tensor = self.output(self.dropout(hidden))
        return logits


def _classifier_dropout(config: BigBirdConfig) -> float:
    return config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout


class MultipleChoiceHead(PooledHead):
    """One logit for a prompt together with one choice; the choices of a prompt are compared outside."""

    def __init__(self, config: BigBirdConfig) -> None:
        super().__init__(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)


class NextSentenceHead(PooledHead):
    """Two logits for a pair of texts: the second follows the first, or it does not."""

    logits = 2


class EmbeddingHead(nn.Module):
    """No head: the hidden states, and the pooled document where the checkpoint has a pooler."""

    def __init__(self, config: BigBirdConfig) -> None:
        super().__init__()
        self.pooler = Pooler(config) if config.has_pooler else None

    def forward(self, hidden: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Return `[batch, length, hidden]`, and `[batch, hidden]` with a pooler."""
        return hidden if self.pooler is None else (hidden, self.pooler(hidden))


HEADS: dict[str, type[nn.Module]] = {
    "qa": QuestionAnsweringHead,
    "classify": SequenceClassificationHead,
    "ner": TokenClassificationHead,
    "fill-mask": LanguageModelHead,
    "next-sentence": NextSentenceHead,
    "multiple-choice": MultipleChoiceHead,
    "embed": EmbeddingHead,
    "generate": LanguageModelHead,
}
