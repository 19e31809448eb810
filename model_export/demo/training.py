"""The training loop: steps through a recipe's stages, measures, saves its state and goes on from it.

A run is determined by its seed, the recipe and the machine's arithmetic. What was shown depends on the number of the
step alone, so a resumed run goes on exactly where it was.
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from model_export.demo.batches import Lengths
from model_export.demo.initialisation import initialise
from model_export.demo.objective import Objective
from model_export.demo.progress import Progress
from model_export.demo.recipe import TOKENS_PER_BATCH, Recipe, Stage, demo_config
from model_export.nn.model import BigBird, build_model
from model_export.patterns.registry import get_pattern

_WARM_UP_STEPS = 200
_STEPS_PER_MEASUREMENT = 200
_SECONDS_BETWEEN_SAVES = 120.0


@dataclass(slots=True)
class Position:
    """Where a training stands.

    Attributes:
        stage: Index of the current stage.
        step: Steps done in it.
        total_steps: Steps done in all stages; the number of the next batch.
        seconds: Time spent so far, over all runs.
    """

    stage: int = 0
    step: int = 0
    total_steps: int = 0
    seconds: float = 0.0


class Training:
    """One task's training, from new or warm-started weights or from a saved state."""

    def __init__(
        self,
        objective: Objective,
        recipe: Recipe,
        state_file: Path,
        *,
        seed: int,
        tokens: int = TOKENS_PER_BATCH,
        validation_batches: int = 3,
    ) -> None:
        """Builds the model; nothing is trained yet.

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
        self.model: BigBird = build_model(config, objective.task, get_pattern("transformers"))
        initialise(self.model)
        self.aids: nn.Module = objective.training_aids(config)
        self._objective, self._recipe, self._state_file, self._tokens = objective, recipe, state_file, tokens
        self._identity = {"seed": seed, "tokens": tokens}
        self._validation_batches = validation_batches
        self._optimiser = torch.optim.AdamW(
            [
                {"params": [weight for weight in self._weights() if weight.ndim == 2], "weight_decay": 0.01},
                {"params": [weight for weight in self._weights() if weight.ndim != 2], "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
            betas=(0.9, 0.98),
        )
        self.position = Position()

    def start_from(self, other: BigBird) -> None:
        """Takes over another trained model's encoder."""
        self.model.embeddings.load_state_dict(other.embeddings.state_dict())
        self.model.encoder.load_state_dict(other.encoder.state_dict())

    def resume(self) -> bool:
        """Takes over the saved state, if there is one.

        Raises:
            ValueError: It is the state of another training: with another seed or other batches.
        """
        if not self._state_file.exists():
            return False
        state: dict[str, Any] = torch.load(self._state_file, weights_only=True)
        if state["identity"] != self._identity:
            raise ValueError(f"{self._state_file}: holds {state['identity']}, not {self._identity}; remove it first")
        self.model.load_state_dict(state["model"])
        self.aids.load_state_dict(state["aids"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.position = Position(**state["position"])
        return True

    def save(self) -> None:
        """Writes the state, so that a crash at any time leaves the old or the new one."""
        self._state_file.parent.mkdir(parents=True, exist_ok=True)
        partial = self._state_file.with_suffix(".partial")
        state = {
            "identity": self._identity,
            "model": self.model.state_dict(),
            "aids": self.aids.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "position": asdict(self.position),
        }
        torch.save(state, partial)
        partial.replace(self._state_file)

    def run(self, progress: Progress) -> None:
        """Trains from the current position to the end of the last stage."""
        position, stages = self.position, self._recipe.stages
        clock = saved = time.monotonic()
        while position.stage < len(stages):
            stage = stages[position.stage]
            loss = self._step(stage)
            position.step += 1
            position.total_steps += 1
            now = time.monotonic()
            position.seconds += now - clock
            clock = now
            progress.step(position.stage, position.step, stage.steps, loss)
            finished = position.step >= stage.steps
            if finished or position.step % _STEPS_PER_MEASUREMENT == 0:
                scores = {lengths: self._score(lengths) for lengths in stage.lengths}
                progress.note(self._describe(loss, scores))
                finished = finished or (stage.enough is not None and scores[stage.lengths[0]] >= stage.enough)
            if finished:
                position.stage, position.step = position.stage + 1, 0
            if finished or now - saved > _SECONDS_BETWEEN_SAVES:
                self.save()
                saved = now

    def _step(self, stage: Stage) -> float:
        self.model.train()
        for group in self._optimiser.param_groups:
            group["lr"] = self._learning_rate(stage)
        lengths = stage.lengths[self.position.step % len(stage.lengths)]
        with torch.autocast("cpu", torch.bfloat16):  # twice as fast; the optimiser stays in single precision
            loss = self._objective.loss(self.model, self.aids, self.position.total_steps, lengths, self._tokens)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._weights(), 1.0)
        self._optimiser.step()
        return loss.item()

    def _learning_rate(self, stage: Stage) -> float:
        """Rises at the start of the training and falls to zero over the stages that ask for it."""
        warm_up = min(1.0, (self.position.total_steps + 1) / _WARM_UP_STEPS)
        remaining = 1.0 - self.position.step / stage.steps if stage.learning_rate_falls else 1.0
        return self._recipe.learning_rate * warm_up * remaining

    def _score(self, lengths: Lengths) -> float:
        self.model.eval()
        with torch.autocast("cpu", torch.bfloat16):
            return self._objective.score(self.model, lengths, self._validation_batches, self._tokens)

    def _describe(self, loss: float, scores: dict[Lengths, float]) -> str:
        position = self.position
        measured = ", ".join(
            f"{score:.3f} at {'moved ' * lengths.shifted}{lengths.shortest}-{lengths.longest}"
            for lengths, score in scores.items()
        )
        return (
            f"{self._objective.task} stage {position.stage + 1}/{len(self._recipe.stages)} step {position.step} "
            f"(total {position.total_steps}, {position.seconds / 60:.1f} min): loss {loss:.3f}, "
            f"{self._objective.score_name} {measured}"
        )

    def _weights(self) -> list[nn.Parameter]:
        return [*self.model.parameters(), *self.aids.parameters()]
