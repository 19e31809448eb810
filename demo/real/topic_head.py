"""The head of `real-topics`: small enough to be shipped, as a LoRA adapter of the pooler and a classifier."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

RANK = 32
_EPOCHS = 60
_BATCH = 256
_LEARNING_RATE = 2e-3
_WEIGHT_DECAY = 0.05
_DROPOUT = 0.3
_HIGHEST_TEMPERATURE, _STEPS = 5.0, 1_000


@dataclass(frozen=True, slots=True)
class Examples:
    """Vectors of first tokens, float32 `[texts, hidden]`, and the numbers of their labels, int64 `[texts]`."""

    vectors: torch.Tensor
    labels: torch.Tensor


class TopicHead(nn.Module):
    """BERT's head for classification, whose dense layer differs from the encoder's own pooler by a matrix of low rank.

    Args:
        pooler: The encoder's own.
        labels: How many there are.
    """

    def __init__(self, pooler: nn.Linear, labels: int) -> None:
        super().__init__()
        hidden = pooler.in_features
        self.pooler = pooler.requires_grad_(False)
        self.down = nn.Linear(hidden, RANK, bias=False)
        self.up = nn.Linear(RANK, hidden, bias=False)
        self.classifier = nn.Linear(hidden, labels)
        self.dropout = nn.Dropout(_DROPOUT)
        nn.init.zeros_(self.up.weight)

    def forward(self, first_tokens: torch.Tensor) -> torch.Tensor:
        """Map `[texts, hidden]` to logits, `[texts, labels]`."""
        pooled = torch.tanh(self.pooler(first_tokens) + self.up(self.down(first_tokens)))
        logits: torch.Tensor = self.classifier(self.dropout(pooled))
        return logits

    def tensors(self) -> Mapping[str, torch.Tensor]:
        """Return what is trained, under the names of PEFT, in half precision."""
        named = {
            "base_model.model.bert.pooler.dense.lora_A.weight": self.down.weight,
            "base_model.model.bert.pooler.dense.lora_B.weight": self.up.weight,
            "base_model.model.classifier.weight": self.classifier.weight,
            "base_model.model.classifier.bias": self.classifier.bias,
        }
        return {name: tensor.detach().half().contiguous() for name, tensor in named.items()}


def train(pooler: nn.Linear, training: Examples, validation: Examples, labels: int, seed: int) -> TopicHead:
    """Return the head of the epoch after which validation texts were least surprising, with calibrated probabilities.

    Args:
        pooler: The encoder's own.
        training: What to learn from.
        validation: What to choose the epoch and the temperature by.
        labels: How many there are.
        seed: Of the first weights, dropout and the order of the texts.
    """
    torch.manual_seed(seed)
    head = TopicHead(pooler, labels)
    trained = [parameter for parameter in head.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _EPOCHS)
    least, best = float("inf"), head.state_dict()
    for _ in range(_EPOCHS):
        head.train()
        for rows in torch.randperm(len(training.labels)).split(_BATCH):  # type: ignore[no-untyped-call]
            optimiser.zero_grad()
            F.cross_entropy(head(training.vectors[rows]), training.labels[rows]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        schedule.step()
        surprise = F.cross_entropy(logits_of(head, validation.vectors), validation.labels).item()
        if surprise < least:
            least, best = surprise, {name: tensor.clone() for name, tensor in head.state_dict().items()}
    head.load_state_dict(best)
    _divide(head, temperature(logits_of(head, validation.vectors), validation.labels))
    return head.eval()


@torch.inference_mode()
def logits_of(head: TopicHead, vectors: torch.Tensor) -> torch.Tensor:
    """Return the head's logits without dropout."""
    return head.eval()(vectors)  # type: ignore[no-any-return]


def temperature(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the number to divide logits by, so that the labels are least surprising (Guo et al. 2017)."""
    candidates = torch.linspace(1 / _HIGHEST_TEMPERATURE, _HIGHEST_TEMPERATURE, _STEPS)
    surprises = [F.cross_entropy(logits / candidate, labels).item() for candidate in candidates]
    return candidates[int(torch.tensor(surprises).argmin())].item()


@torch.no_grad()
def _divide(head: TopicHead, by: float) -> None:
    head.classifier.weight.div_(by)
    head.classifier.bias.div_(by)
