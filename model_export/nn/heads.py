"""Task heads: from hidden states to logits."""

import torch
from torch import nn

from model_export.config import BigBirdConfig
from model_export.nn.activations import get_activation
from model_export.nn.feed_forward import FeedForward


class QuestionAnsweringHead(nn.Module):
    """One more feed-forward layer, then a start and an end logit for every token."""

    def __init__(self, config: BigBirdConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.feed_forward = FeedForward(config)
        self.output = nn.Linear(config.hidden_size, 2)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map `[batch, length, hidden]` to `[batch, length, 2]`: start, end."""
        logits: torch.Tensor = self.output(self.feed_forward(self.dropout(hidden), residual=hidden))
        return logits


class SequenceClassificationHead(nn.Module):
    """A dense layer on the first token, then a logit for each label."""

    def __init__(self, config: BigBirdConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(_classifier_dropout(config))
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = get_activation(config.hidden_act)
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


HEADS: dict[str, type[nn.Module]] = {
    "qa": QuestionAnsweringHead,
    "classify": SequenceClassificationHead,
    "ner": TokenClassificationHead,
}
