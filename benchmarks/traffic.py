"""The traffic of a service for long documents: lengths spread log-normally, arrivals by chance."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MEDIAN_TOKENS = 900
SIGMA = 0.8
MOST_TOKENS = 4096
SEED = 20


@dataclass(frozen=True, slots=True)
class Traffic:
    """Documents and when they come.

    Attributes:
        arrivals: Seconds from the start, ascending.
        lengths: Tokens of each document.
    """

    arrivals: npt.NDArray[np.float64]
    lengths: npt.NDArray[np.int64]


def document_lengths(count: int, seed: int = SEED) -> npt.NDArray[np.int64]:
    """Draw lengths in tokens: log-normal with a median of 900 and a sigma of 0.8, cut to 2 .. 4096."""
    normal = np.random.default_rng(seed).standard_normal(count)
    lengths: npt.NDArray[np.int64] = np.clip(MEDIAN_TOKENS * np.exp(SIGMA * normal), 2, MOST_TOKENS).astype(np.int64)
    return lengths


def mean_tokens() -> float:
    """Return the mean length, from a large sample."""
    return float(document_lengths(1_000_000).mean())


def poisson_traffic(documents_per_second: float, seconds: float, seed: int = SEED) -> Traffic:
    """Draw traffic of a rate; the documents are the same, in the same order, at every rate."""
    count = int(documents_per_second * seconds * 1.2) + 100
    gaps = np.random.default_rng(seed + 1).exponential(1.0, count) / documents_per_second
    arrivals = np.cumsum(gaps)
    arrivals = arrivals[arrivals < seconds]
    return Traffic(arrivals, document_lengths(len(arrivals), seed))
