"""How the three demo models are shaped and what they are shown, in which order.

Question answering needs a curriculum: trained at once on reports with several subjects, a small model learns which kind
of entity is asked for and then guesses among those of that kind. It starts with two subjects in 50 to 110 tokens and
goes on to longer reports when it is sure of the short ones. Far positions are seen in few reports, so the last stage
also moves shorter ones there. The other two tasks start from the encoder that comes out of it.
"""

from dataclasses import dataclass

from model_export.config import BigBirdConfig
from model_export.demo.batches import Lengths

VOCABULARY_SIZE = 6000
TOKENS_PER_BATCH = 8192


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the training.

    Attributes:
        lengths: The kinds of reports shown; each batch is drawn from one of them, in turn.
        steps: At most so many optimiser steps.
        enough: The stage ends early at this validation score on the first kind of report; None: never.
        learning_rate_falls: Whether the learning rate falls to zero over the stage.
    """

    lengths: tuple[Lengths, ...]
    steps: int
    enough: float | None = None
    learning_rate_falls: bool = False


@dataclass(frozen=True, slots=True)
class Recipe:
    """A task's training.

    Attributes:
        stages: What is shown, in order.
        learning_rate: The highest learning rate.
        starts_from: The task whose trained encoder is the starting point, if any.
    """

    stages: tuple[Stage, ...]
    learning_rate: float
    starts_from: str | None = None


SHORT = Lengths(50, 110, subjects=2)
MEDIUM = Lengths(110, 230)
LONG = Lengths(230, 460)
FULL = Lengths(460, 650)
SPARSE = Lengths(720, 1010)
FAR = (Lengths(110, 230, shifted=True), Lengths(230, 460, shifted=True), Lengths(110, 230, shifted=True))

RECIPES: dict[str, Recipe] = {
    "qa": Recipe(
        stages=(
            Stage((SHORT,), 5000, enough=0.95),
            Stage((MEDIUM, SHORT), 2500, enough=0.93),
            Stage((LONG, MEDIUM), 1000, enough=0.93),
            Stage((SPARSE, FULL, LONG, MEDIUM), 1600, learning_rate_falls=True),
            Stage((SPARSE, *FAR, FULL, *FAR), 3000, learning_rate_falls=True),
        ),
        learning_rate=1e-3,
    ),
    "ner": Recipe(
        stages=(
            Stage((SPARSE, *FAR, FULL, MEDIUM, SHORT, LONG), 500, learning_rate_falls=True),
            Stage((SPARSE, *FAR, SHORT, *FAR, FULL, *FAR, MEDIUM, *FAR), 1300, learning_rate_falls=True),
        ),
        learning_rate=7e-4,
        starts_from="qa",
    ),
    "classify": Recipe(
        stages=(
            Stage((SPARSE, *FAR, FULL, MEDIUM, SHORT, LONG), 500, learning_rate_falls=True),
            Stage((SPARSE, *FAR, SHORT, MEDIUM, FULL, *FAR, SHORT, MEDIUM), 500, learning_rate_falls=True),
        ),
        learning_rate=7e-4,
        starts_from="qa",
    ),
}


def demo_config(labels: tuple[str, ...]) -> BigBirdConfig:
    """Gives the shape of a demo model with these labels: 2.2 million parameters."""
    return BigBirdConfig(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
        hidden_act="gelu_new",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=4096,
        block_size=64,
        num_random_blocks=3,
        labels=labels,
    )
