"""Which token comes next: the most probable one, or one drawn from the most probable ones."""

import numpy as np

from bigbird_inference.tasks.base import Float32Array
from bigbird_inference.tasks.scores import softmax


def most_probable(logits: Float32Array) -> int:
    """Return the best token; of equal ones the one with the lowest id.

    Args:
        logits: float32 `[vocabulary]`.
    """
    return int(np.argmax(logits))


def draw_nucleus(logits: Float32Array, *, top_p: float, temperature: float, generator: np.random.Generator) -> int:
    """Draw a token from the smallest set of most probable tokens that together have the probability `top_p`.

    This is nucleus sampling (Holtzman et al., "The Curious Case of Neural Text Degeneration", section 3.1), with the
    temperature applied first. It takes one number from the generator.

    Args:
        logits: float32 `[vocabulary]`.
        top_p: From above 0 to 1; the most probable token is always in the set.
        temperature: Above 0; logits are divided by it.
        generator: Where the chance comes from.
    """
    values = logits.astype(np.float64)
    probabilities = softmax((values - values.max()) / temperature)
    ranking = np.argsort(-probabilities, kind="stable")
    cumulative = np.cumsum(probabilities[ranking])
    count = min(int(np.searchsorted(cumulative, top_p)) + 1, len(ranking))
    place = np.searchsorted(cumulative[:count], generator.random() * cumulative[count - 1], side="right")
    return int(ranking[min(int(place), count - 1)])
