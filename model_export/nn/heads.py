"""Task heads: from hidden states to logits."""

from dataclasses import replace

import torch
from torch import nn

from model_export.config import BigBirdConfig
from model_export.nn.activations import get_activation
from model_export.nn.feed_forward import FeedForward
from model_export.nn.language_model_head import LanguageModelHead
from model_export.nn.pooler import Pooler


class QuestionAnsweringHead(nn.Module):
    """One more feed-forward layer (in most sources), then a start and an end logit for every token."""

    def __init__(self, config: BigBirdConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        epsilon = config.qa_layer_norm_eps or config.layer_norm_eps
        self.feed_forward = FeedForward(replace(config, layer_norm_eps=epsilon)) if config.qa_feed_forward else None
        self.output = nn.Linear(config.hidden_size, 2)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map `[batch, length, hidden]` to `[batch, length, 2]`: start, end."""
        if self.feed_forward is not None:
            hidden = self.feed_forward(self.dropout(hidden), residual=hidden)
        logits: torch.Tensor = self.output(hidden)
        return logits


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


class PooledHead(nn.Module):
    """A fixed number of logits from the pooled document."""

    logits = 1

    def __init__(self, config: BigBirdConfig) -> None:
        super().__init__()
        self.pooler = Pooler(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.output = nn.Linear(config.hidden_size, self.logits)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map `[batch, length, hidden]` to `[batch, logits]`."""
        logits: torch.Tensor = self.output(self.dropout(self.pooler(hidden)))
        return logits


class MultipleChoiceHead(PooledHead):
    """One logit for a prompt together with one choice; the choices of a prompt are compared outside."""


class NextSentenceHead(PooledHead):
    """Two logits for a pair of texts: the second follows the first, or it does not."""

    logits = 2

    def __init__(self, config: BigBirdConfig) -> None:
        super().__init__(config)
        self.dropout = nn.Dropout(0.0)


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
