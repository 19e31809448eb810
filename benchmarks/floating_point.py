"""How many floating-point operations a run cannot do without: what the measured times are held against.

A multiplication and an addition are two operations. Only products of matrices count: the linear layers, and the
attention along its pattern; normalisation, softmax and activations cost operations too, but a lower bound stays one
without them. Keys that a row attends to several times (transformers in evaluation mode repeats block 0) are counted
once, because the repetition is a constant that can be added to a score.
"""

from model_export.config import BigBirdConfig

GLOBAL_AND_WINDOW_SLOTS = 5


def model_operations(config: BigBirdConfig, length: int, *, full: bool | None = None, random_blocks: int = 0) -> int:
    """Return the operations of one document that fills this padded length, classification head included.

    Args:
        config: The model's shape.
        length: In tokens, whole blocks.
        full: Whether every token attends to every other; None lets the length decide as the model does.
        random_blocks: Blocks that a middle row attends to besides the first, the last and its window.
    """
    if full is None:
        full = length <= config.full_attention_edge
    if full:
        attention = full_attention_operations(config, length)
    else:
        attention = block_sparse_operations(config, length, random_blocks)
    head = 2 * config.hidden_size * (config.hidden_size + len(config.labels))
    return config.num_hidden_layers * (linear_operations(config, length) + attention) + head


def linear_operations(config: BigBirdConfig, length: int) -> int:
    """Return the operations of a layer's linear maps: query, key, value, output; widen, narrow."""
    hidden = config.hidden_size
    return 2 * length * (4 * hidden * hidden + 2 * hidden * config.intermediate_size)


def full_attention_operations(config: BigBirdConfig, length: int) -> int:
    """Return the operations of a layer's scores and weighted sums where every token attends to every other."""
    return _products(config, length * length)


def block_sparse_operations(config: BigBirdConfig, length: int, random_blocks: int = 0) -> int:
    """Return the same where only the first and the last block do.

    The first and the last of the middle rows have one block fewer in their window, because it is global already.
    """
    block_size = config.block_size
    middle_rows = length // block_size - 2
    slots = middle_rows * (GLOBAL_AND_WINDOW_SLOTS + random_blocks) - 2
    return _products(config, 2 * block_size * length + slots * block_size * block_size)


def _products(config: BigBirdConfig, pairs: int) -> int:
    """Return the operations of scoring these (query, key) pairs and of adding up their values, over all heads."""
    return 2 * 2 * pairs * config.hidden_size
