"""A small thing to learn for a model of two layers: whether a token's id is even."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from finetuning.forward import Precision
from finetuning.objective import Measured
from finetuning.plan import Plan, Position, Stage
from finetuning.trainer import Trainer
from model_export.config import BigBirdConfig
from model_export.nn.model import BigBird, build_model
from model_export.patterns.registry import get_pattern
from tests.finetuning.small_models import CPU

CONFIG = BigBirdConfig(
    vocab_size=20,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=16,
    block_size=16,
    num_random_blocks=1,
    max_position_embeddings=160,
)
FP32 = Precision.of("fp32", CPU)
ROWS = 6


class Parity:
    """Learns whether each token's id is even."""

    def __init__(self, cuts: Sequence[int] = (ROWS,), scores: Sequence[float] = (), length: int = 32) -> None:
        self.cuts, self.scores, self.length = cuts, list(scores), length
        self.stop_at: int | None = None

    def parts(self, source: str, position: Position) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(position.total_steps)
        return list(torch.randint(0, 20, (ROWS, self.length), generator=generator).split(list(self.cuts)))

    def loss(self, model: BigBird, part: torch.Tensor) -> torch.Tensor:
        if self.stop_at is not None:
            self.stop_at -= 1
            if self.stop_at < 0:
                raise KeyboardInterrupt
        logits = model(part, torch.ones_like(part), torch.zeros_like(part)).flatten(0, 1)
        return F.cross_entropy(logits.float(), part.flatten() % 2, reduction="sum") / (ROWS * self.length)

    def measure(self, model: BigBird, source: str) -> Measured:
        assert not model.training
        score = self.scores.pop(0) if self.scores else 0.0
        return Measured(score, {"score": score})


def small_model(dropout: float = 0.0) -> BigBird:
    torch.manual_seed(0)
    fields = {**CONFIG.to_dict(), "hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    return build_model(BigBirdConfig.from_dict(fields), "ner", get_pattern("transformers"))


def trainer(objective: Parity, state: Path, model: BigBird | None = None, **plan: Any) -> Trainer[str, torch.Tensor]:
    fields: dict[str, Any] = {"stages": (Stage("all", 8),), "learning_rate": 0.01, "warm_up_steps": 0, **plan}
    settings = {"rate": fields["learning_rate"]}
    return Trainer(model or small_model(), objective, Plan(**fields), state, seed=3, precision=FP32, settings=settings)
