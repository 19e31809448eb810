"""Where a training stands. Everything random in a step follows from the seed and the position alone."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from finetuning.plan import Plan, Stage


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
