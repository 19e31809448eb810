"""What a training is to do: its stages, and what all of them have in common.

Only numbers: what is learned, and from what, is the objective's business.
"""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

ShownT = TypeVar("ShownT")

Decay = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True, slots=True)
class Stage(Generic[ShownT]):
    """A part of the training.

    Attributes:
        shown: What the objective is to draw its examples from; the trainer only hands it on.
        steps: At most so many optimiser steps.
        enough: The stage ends early at this score; None: never.
        decay: How the learning rate falls over the stage, once the warm-up is over: to zero or not at all.
    """

    shown: ShownT
    steps: int
    enough: float | None = None
    decay: Decay = "constant"


@dataclass(frozen=True, slots=True)
class Plan(Generic[ShownT]):
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

    stages: tuple[Stage[ShownT], ...]
    learning_rate: float
    warm_up_steps: int = 200
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    max_gradient_norm: float = 1.0
    steps_per_measurement: int = 200
    patience: int | None = None
    keep_best: bool = False
    seconds_between_saves: float = 120.0
