"""A demo model's training: the three tasks of this package in the hands of the general trainer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from demo.batches import Lengths, position_shift
from demo.initialisation import initialise
from demo.objective import Objective
from demo.positions import PERIOD
from demo.recipe import TOKENS_PER_BATCH, Recipe, demo_config
from finetuning.flash_attention import FlashAttention
from finetuning.forward import Precision
from finetuning.objective import Measured
from finetuning.plan import Plan, Position
from finetuning.trainer import Trainer
from model_export.nn.model import BigBird, build_model
from model_export.patterns.registry import get_pattern


@dataclass(frozen=True, slots=True)
class MovedExamples:
    """A batch of examples, and how far their texts are moved."""

    examples: Any
    shift: int


@dataclass(frozen=True, slots=True)
class ReportObjective:
    """A task of this package as the trainer sees it."""

    task: Objective[Any]
    aids: nn.Module
    tokens: int
    validation_batches: int

    def parts(self, source: tuple[Lengths, ...], position: Position) -> Sequence[MovedExamples]:
        """Take the kinds of reports in turn."""
        number, lengths = position.total_steps, source[position.step % len(source)]
        examples = self.task.examples(number, lengths, round(lengths.share * self.tokens), first_seed=0)
        return [MovedExamples(examples, position_shift(number, PERIOD))]

    def loss(self, model: BigBird, part: MovedExamples) -> torch.Tensor:
        """Compute the task's loss."""
        return self.task.loss(model, self.aids, part.examples, part.shift)

    def measure(self, model: BigBird, source: tuple[Lengths, ...]) -> Measured:
        """Measure each kind of reports; the first decides."""
        figures: dict[str, float] = {}
        for lengths in dict.fromkeys(source):
            scores = self.task.scores(model, lengths, self.validation_batches, self.tokens)
            figures |= {f"{name} at {lengths}": score for name, score in scores.items()}
        return Measured(next(iter(figures.values())), figures)


class Training(Trainer[tuple[Lengths, ...], MovedExamples]):
    """One task's training, from new or warm-started weights or from a saved state."""

    def __init__(
        self,
        objective: Objective[Any],
        recipe: Recipe,
        state_file: Path,
        *,
        seed: int,
        tokens: int = TOKENS_PER_BATCH,
        validation_batches: int = 3,
    ) -> None:
        """Build the model; nothing is trained yet.

        Args:
            objective: The task.
            recipe: Its stages.
            state_file: Where the state is saved; a state found there is resumed by `resume`.
            seed: Determines the first weights.
            tokens: About how many tokens are in a batch.
            validation_batches: How many batches a measurement takes.
        """
        torch.manual_seed(seed)
        config = demo_config(objective.labels)
        model = build_model(config, objective.task, get_pattern("transformers"))
        initialise(model)
        model.encoder.kernel = FlashAttention()
        self.aids = objective.training_aids(config)
        super().__init__(
            model,
            ReportObjective(objective, self.aids, tokens, validation_batches),
            Plan(recipe.stages, recipe.learning_rate),
            state_file,
            seed=seed,
            precision=Precision.of("bf16", torch.device("cpu")),
            settings={"tokens": tokens},
            aids=self.aids,
        )

    def start_from(self, other: BigBird) -> None:
        """Take over another trained model's encoder."""
        self.model.embeddings.load_state_dict(other.embeddings.state_dict())
        self.model.encoder.load_state_dict(other.encoder.state_dict())
