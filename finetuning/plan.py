"""What a training is to do, stage by stage, and where it stands.

Everything random in a step follows from the seed and the position alone.
"""

import math
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import numpy as np

SourceT = TypeVar("SourceT")

Decay = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True, slots=True)
class Stage(Generic[SourceT]):
    """A part of the training.

    Attributes:
        source: What the objective is to draw its examples from; the trainer only hands it on.
        steps: At most so many optimiser steps.
        enough: The stage ends early at this score; None: never.
        decay: How the learning rate falls over the stage, once the warm-up is over: to zero or not at all.
    """

    source: SourceT
    steps: int
    enough: float | None = None
    decay: Decay = "constant"


@dataclass(frozen=True, slots=True)
class Plan(Generic[SourceT]):
    """A whole training.

    Attributes:
        stages: In their order.
        learning_rate: The highest learning rate.
        warm_up_steps: Over so many steps, from the first one on, the learning rate rises from zero.
        weight_decay: Of matrices; biases and norms are left alone.
        betas: Of AdamW.
        max_gradient_norm: Longer gradients are shortened to this length.
        steps_per_measurement: After so many steps of a stage, and at its end, the objective measures the model.
        patience: The training ends after so many measurements in a row that were no better than an earlier one; None:
            never.
        keep_best: Whether the weights of the best measurement are kept beside the state.
        seconds_between_saves: So much time may be lost in a crash; at 0 every step is saved.
    """

    stages: tuple[Stage[SourceT], ...]
    learning_rate: float
    warm_up_steps: int = 200
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    max_gradient_norm: float = 1.0
    steps_per_measurement: int = 200
    patience: int | None = None
    keep_best: bool = False
    seconds_between_saves: float = 120.0


@dataclass(frozen=True, slots=True)
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

    def after_step(self, seconds: float) -> "Position":
        """Return the position after one more step of the same stage, which took so many seconds."""
        return Position(self.stage, self.step + 1, self.total_steps + 1, self.seconds + seconds)

    def after_stage(self) -> "Position":
        """Return the beginning of the next stage."""
        return Position(self.stage + 1, 0, self.total_steps, self.seconds)


def step_seed(seed: int, total_steps: int) -> int:
    """Return the seed of a step's random numbers, those of dropout; unlike any other step's."""
    return int(np.random.SeedSequence([seed, total_steps]).generate_state(1, np.uint64)[0])


def learning_rate(plan: Plan[Any], position: Position) -> float:
    """Return the learning rate of the next step."""
    stage: Stage[Any] = plan.stages[position.stage]
    warm_up = min(1.0, (position.total_steps + 1) / max(1, plan.warm_up_steps))
    # Steps of this stage that lie in the warm-up; the rate falls over the others.
    rising = min(stage.steps - 1, max(0, plan.warm_up_steps - (position.total_steps - position.step)))
    fallen = max(0.0, (position.step - rising) / (stage.steps - rising))
    match stage.decay:
        case "constant":
            remaining = 1.0
        case "linear":
            remaining = 1.0 - fallen
        case "cosine":
            remaining = 0.5 * (1.0 + math.cos(math.pi * fallen))
    return plan.learning_rate * warm_up * remaining
