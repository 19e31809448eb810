"""How the three demo models are shaped and what they learn from, in which order.

Question answering needs a curriculum: trained at once on reports with several subjects, a small model learns which kind
of entity is asked for and then guesses among those of that kind. It starts with two subjects in 50 to 110 tokens and
goes on to longer reports when it is sure of the short ones. From the second stage on a quarter of the questions have no
answer, and some are asked of two texts at once, as the windows of a long document are. Few reports are truly long: all
that changes with the length is how many facts look alike (see `positions`). The other two tasks start from the encoder
that comes out of it.
"""

from dataclasses import dataclass

from demo.batches import Lengths
from finetuning.plan import Stage
from model_export.config import BigBirdConfig

VOCABULARY_SIZE = 6000
TOKENS_PER_BATCH = 8192


@dataclass(frozen=True, slots=True)
class Recipe:
    """A task's training.

    Attributes:
        stages: The kinds of reports to learn from, in order; each batch of a stage is drawn from one of its kinds, in
            turn, and a stage is over early when the score on its first kind is enough.
        learning_rate: The highest learning rate.
        starts_from: The task whose trained encoder is the starting point, if any.
    """

    stages: tuple[Stage[tuple[Lengths, ...]], ...]
    learning_rate: float
    starts_from: str | None = None


FIRST = Lengths(50, 110, subjects=2, unanswered=0.0, share=0.5)
SHORT = Lengths(50, 110, subjects=2)
MEDIUM = Lengths(110, 230)
LONG = Lengths(230, 460)
FULL = Lengths(460, 650)
SPARSE = Lengths(720, 1010)
LONGER = Lengths(1000, 2000)
LONGEST = Lengths(2000, 3600)
SHORT_WINDOWS = Lengths(90, 200, windows=2)
LONG_WINDOWS = Lengths(750, 1200, windows=2)

RECIPES: dict[str, Recipe] = {
    "qa": Recipe(
        stages=(
            Stage((FIRST,), 4000, enough=0.9),
            Stage((MEDIUM, SHORT), 3000, enough=0.93),
            Stage((LONG, MEDIUM, SHORT_WINDOWS), 1800, enough=0.93),
            Stage((SPARSE, LONG, MEDIUM, FULL, SHORT_WINDOWS), 2000),
            Stage((LONGEST, LONG, SPARSE, MEDIUM, LONG_WINDOWS, FULL, LONGER, SHORT), 6000, decay="linear"),
        ),
        learning_rate=1e-3,
    ),
    "ner": Recipe(
        stages=(
            Stage((MEDIUM, SPARSE, LONG, SHORT, FULL, LONGER), 1200, decay="linear"),
            Stage((LONGEST, SPARSE, LONGER, MEDIUM), 600, decay="linear"),
        ),
        learning_rate=7e-4,
        starts_from="qa",
    ),
    "classify": Recipe(
        stages=(Stage((SHORT, MEDIUM, SPARSE, SHORT, LONG, MEDIUM, LONGEST), 1600, decay="linear"),),
        learning_rate=7e-4,
        starts_from="qa",
    ),
}


def demo_config(labels: tuple[str, ...]) -> BigBirdConfig:
    """Return the shape of a demo model with these labels: 2.2 million parameters."""
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
