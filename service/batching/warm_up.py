"""Running every bucket before work is accepted: memory is faulted in, and what batches cost is measured.

First every bucket with one sequence of full length. Then larger batches (2, 4, 8, ... up to the bucket's cap), the
cheapest first, for as long as the time budget allows; what it does not allow is extrapolated by the cost model.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from statistics import median
from typing import TypeVar

import numpy as np

from service.batching.batch_limits import BatchLimits
from service.batching.batch_run import run_batch
from service.batching.buckets import ServedBucket
from service.batching.cost_model import CostModel
from service.batching.resident_memory import MemoryProbe
from service.runtime.session import OutOfMemory
from service.tokenization.encoded import EncodedSequence

logger = logging.getLogger(__name__)

# The first two runs of a shape fault in its memory page by page; the third is the first at full speed.
UNMEASURED_RUNS = 2
# Short runs are noisy, and cheap to repeat: so many are measured as long as they take no longer than this together.
_MEASURED_RUNS = 3
_MEASURED_SECONDS = 0.1

ResultT = TypeVar("ResultT")


class WarmUp:
    """Warms and measures buckets.

    Args:
        buckets: What to warm.
        call: Runs a function on the executor.
        cost_model: Receives seconds.
        limits: Receives memory, and says up to which size a bucket is measured.
        clock: Monotonic seconds.
        budget_seconds: When to stop measuring larger batches.
        probe: Reads the process's memory.
    """

    def __init__(
        self,
        buckets: Sequence[ServedBucket],
        call: Callable[[Callable[[], tuple[float, int | None]]], Awaitable[tuple[float, int | None]]],
        cost_model: CostModel,
        limits: BatchLimits,
        clock: Callable[[], float],
        budget_seconds: float,
        probe: MemoryProbe,
    ) -> None:
        self._buckets = buckets
        self._call = call
        self._cost_model = cost_model
        self._limits = limits
        self._clock = clock
        self._budget_seconds = budget_seconds
        self._probe = probe
        self._memory_before: int | None = None

    async def run(self) -> None:
        """Warm everything.

        Raises:
            Exception: A bucket cannot run even one sequence.
        """
        ends_at = self._clock() + self._budget_seconds
        # One baseline: all buckets share the memory that any of them took.
        self._memory_before = await self._anonymous_bytes()
        for bucket in self._buckets:
            await self._measure(bucket, 1)
        next_sizes = {bucket.key: 2 for bucket in self._buckets}
        open_buckets = {bucket.key: bucket for bucket in self._buckets}
        while open_buckets:
            bucket = min(open_buckets.values(), key=lambda bucket: self._predict(bucket, next_sizes[bucket.key]))
            size = next_sizes[bucket.key]
            runs_seconds = (UNMEASURED_RUNS + 1) * self._predict(bucket, size)
            if self._clock() + runs_seconds > ends_at:
                break
            if size > self._limits.most_items(bucket) or not await self._try(bucket, size):
                del open_buckets[bucket.key]
            next_sizes[bucket.key] = size * 2
        self._log()

    def _predict(self, bucket: ServedBucket, items: int) -> float:
        return self._cost_model.predict(*bucket.key, items)

    async def _try(self, bucket: ServedBucket, items: int) -> bool:
        try:
            await self._measure(bucket, items)
        except OutOfMemory:
            logger.warning("no memory for %d sequences: model %s, bucket %d", items, *bucket.key)
            self._limits.out_of_memory(bucket, items)
            return False
        return True

    async def _measure(self, bucket: ServedBucket, items: int) -> None:
        seconds, peak = await self._call(partial(self._run, bucket, items))
        self._cost_model.measured(*bucket.key, items, seconds)
        if self._memory_before is not None and peak is not None:
            self._limits.memory_measured(bucket, items, max(peak - self._memory_before, 0))

    def _run(self, bucket: ServedBucket, items: int) -> tuple[float, int | None]:
        """Warm one shape and measure it, on the executor's thread."""
        sequences = [_filler(bucket)] * items
        self._probe.anonymous_bytes()
        for _ in range(UNMEASURED_RUNS):
            run_batch(bucket, sequences, self._clock)
        measured = [run_batch(bucket, sequences, self._clock).seconds]
        while len(measured) < _MEASURED_RUNS and sum(measured) < _MEASURED_SECONDS:
            measured.append(run_batch(bucket, sequences, self._clock).seconds)
        return median(measured), self._probe.peak_bytes()

    async def _anonymous_bytes(self) -> int | None:
        _, used = await self._call(lambda: (0.0, self._probe.anonymous_bytes()))
        return used

    def _log(self) -> None:
        for bucket in self._buckets:
            measured = ", ".join(
                f"{items}: {seconds:.3f} s" for items, seconds in self._cost_model.measurements[bucket.key]
            )
            most = self._limits.most_items(bucket)
            logger.info("warmed %s bucket %d (%s); at most %d in a batch", *bucket.key, measured, most)


def _filler(bucket: ServedBucket) -> EncodedSequence:
    """A sequence as long as the bucket, with one position where the model takes positions."""
    ids = np.full(bucket.length, bucket.pad_id, dtype=np.int64)
    positions = np.zeros(1, dtype=np.int64) if bucket.takes_positions else None
    return EncodedSequence(ids, np.zeros_like(ids), positions)
