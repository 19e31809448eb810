"""Random blocks drawn anew for every step, so that a model learns to do with any.

A row may attend to every block that is neither global nor in its window, of those that all documents of the batch
have. That is what the paper describes (Zaheer et al. 2020, section 2); the implementations draw once and keep it.
"""

import numpy as np

from model_export.config import BigBirdConfig
from model_export.patterns.pattern import RandomBlocks


def fresh_blocks(
    config: BigBirdConfig, shortest: int, longest: int, generator: np.random.Generator
) -> list[RandomBlocks]:
    """Draw the random blocks of every layer.

    Args:
        config: Of a model with block-sparse attention.
        shortest: Blocks of the shortest document of the batch.
        longest: Blocks of the longest one.
        generator: Where the random numbers come from.
    """
    rows = np.arange(1, longest - 1)
    choices = np.arange(1, shortest - 1)
    in_window = np.abs(rows[:, None] - choices) <= 1
    blocks = []
    for _ in range(config.num_hidden_layers):
        order = generator.random((config.num_attention_heads, len(rows), len(choices)))
        order[:, in_window] = 2.0
        first = np.argsort(order, axis=-1)[..., : config.num_random_blocks]
        blocks.append(RandomBlocks(choices[first]))
    return blocks
