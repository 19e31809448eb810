"""The most probable tokens of a vocabulary at one position."""

from dataclasses import dataclass

import numpy as np

from bigbird_inference.tasks.base import Float32Array


@dataclass(frozen=True, slots=True)
class ScoredToken:
    """A token and its probability."""

    token_id: int
    score: float


def top_tokens(logits: Float32Array, count: int, candidates: int) -> list[ScoredToken]:
    """Return the best tokens by falling score; of equal ones the lower id first.

    Args:
        logits: float32 `[vocabulary]`.
        count: How many tokens to return.
        candidates: Only ids below this can be returned; the others take their share of the probability all the same.
    """
    own = logits[:candidates]
    count = min(count, len(own))
    # The vocabulary is large and `count` is small: find the last value that belongs, then sort only what reaches it.
    reaching = np.flatnonzero(own >= np.partition(own, len(own) - count)[len(own) - count])
    best = reaching[np.argsort(-own[reaching], kind="stable")][:count]
    highest = float(logits.max())
    total = float(np.exp(logits.astype(np.float64) - highest).sum())
    scores = np.exp(own[best].astype(np.float64) - highest) / total
    return [ScoredToken(int(token_id), float(score)) for token_id, score in zip(best, scores, strict=True)]
