"""Which rows of a file a step shows: every row once in an epoch, neighbours in length together.

A batch is padded to its longest row, so rows of one length waste nothing. The order of an epoch follows from the seed
and the epoch's number alone.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from bigbird_inference.tokenization.encoded import Int64Array

# Rows are sorted by length within so many steps: longer pools waste less, shorter ones mix better.
_STEPS_IN_POOL = 50


class StepRows:
    """The rows of every step of a training, as indices into a file's rows."""

    def __init__(self, lengths: Sequence[int], rows_per_step: int, seed: int) -> None:
        """Prepares the order.

        Args:
            lengths: Of each row, padded.
            rows_per_step: How many rows a step shows; the last step of an epoch may show fewer.
            seed: Determines the order.
        """
        self.steps_per_epoch = -(-len(lengths) // rows_per_step)
        self._lengths = np.asarray(lengths, dtype=np.int64)
        self._rows_per_step = rows_per_step
        self._seed = seed
        self._epoch = lru_cache(maxsize=2)(self._drawn_epoch)

    def of_step(self, number: int) -> Int64Array:
        """Return the rows of a step, the shortest first."""
        epoch, step = divmod(number, self.steps_per_epoch)
        return self._epoch(epoch)[step]

    def _drawn_epoch(self, epoch: int) -> list[Int64Array]:
        generator = np.random.default_rng([self._seed, epoch])
        order = generator.permutation(len(self._lengths))
        steps = [
            step for pool in _cut(order, self._rows_per_step * _STEPS_IN_POOL) for step in self._sorted_steps(pool)
        ]
        return [steps[index] for index in generator.permutation(len(steps))]

    def _sorted_steps(self, pool: Int64Array) -> Iterator[Int64Array]:
        return _cut(pool[np.argsort(self._lengths[pool], kind="stable")], self._rows_per_step)


def _cut(rows: Int64Array, size: int) -> Iterator[Int64Array]:
    for first in range(0, len(rows), size):
        yield rows[first : first + size]
