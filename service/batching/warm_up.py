"""Running every bucket before work is accepted: memory is faulted in, and what batches cost is measured.

First every bucket with one sequence of full length. Then larger batches (2, 4, 8, ... up to the bucket's cap), the
cheapest first, for as long as the time budget allows; what it does not allow is extrapolated by the cost model.

The first device is measured, and the others, which are like it, run the same shapes after it. Sessions that can record
a shape's work (`service.runtime.session.CapturingSession`) do so in the end, device by device: a recording lasts only
as long as nothing that lives longer than a run takes memory after it, and fails if another device is used meanwhile.
Then the first device is measured again.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from statistics import median
from typing import Protocol, TypeVar

import numpy as np

from service.batching.batch_limits import BatchLimits
from service.batching.batch_run import run_batch
from service.batching.buckets import ServedBucket
from service.batching.cost_model import CostModel
from service.batching.resident_memory import MemoryMeter
from service.runtime.session import CapturingSession, OutOfMemory
from service.tokenization.encoded import EncodedSequence

logger = logging.getLogger(__name__)

# The first two runs of a shape fault in its memory page by page; the third is the first at full speed.
UNMEASURED_RUNS = 2
# Short runs are noisy, and cheap to repeat: so many are measured as long as they take no longer than this together.
_MEASURED_RUNS = 3
_MEASURED_SECONDS = 0.1
# Between two recorded sizes a batch is filled up to the larger one, so the steps are small.
_CAPTURED_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)

ResultT = TypeVar("ResultT")


class ExecutorCall(Protocol):
    """Runs a function on a device's executor."""

    def __call__(self, function: Callable[[], ResultT]) -> Awaitable[ResultT]:
        """Return its result when it has run."""
        ...


class WarmUp:
    """Warms and measures buckets.

    Args:
        buckets: What to warm.
        calls: Runs a function on each device's executor.
        cost_model: Receives seconds.
        limits: Receives memory, and says up to which size a bucket is measured.
        clock: Monotonic seconds.
        budget_seconds: When to stop measuring larger batches.
        probe: Reads the first device's memory.
    """

    def __init__(
        self,
        buckets: Sequence[ServedBucket],
        calls: Sequence[ExecutorCall],
        cost_model: CostModel,
        limits: BatchLimits,
        clock: Callable[[], float],
        budget_seconds: float,
        probe: MemoryMeter,
    ) -> None:
        self._buckets = buckets
        self._calls = calls
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
        self._memory_before = await self._calls[0](self._probe.anonymous_bytes)
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
        await self._capture()
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
        seconds, peak = await self._calls[0](partial(self._run, bucket, items))
        self._cost_model.measured(*bucket.key, items, seconds)
        if self._memory_before is not None and peak is not None:
            self._limits.memory_measured(bucket, items, max(peak - self._memory_before, 0))
        for number, call in enumerate(self._calls[1:], start=1):
            await call(partial(self._fault_in, bucket.on(number), items))

    def _run(self, bucket: ServedBucket, items: int) -> tuple[float, int | None]:
        """Warm one shape and measure it, on the executor's thread."""
        self._probe.anonymous_bytes()
        self._fault_in(bucket, items)
        return self._time(bucket, items), self._probe.peak_bytes()

    def _fault_in(self, bucket: ServedBucket, items: int) -> None:
        for _ in range(UNMEASURED_RUNS):
            run_batch(bucket, [_filler(bucket)] * items, self._clock)

    def _time(self, bucket: ServedBucket, items: int) -> float:
        sequences = [_filler(bucket)] * items
        measured = [run_batch(bucket, sequences, self._clock).seconds]
        while len(measured) < _MEASURED_RUNS and sum(measured) < _MEASURED_SECONDS:
            measured.append(run_batch(bucket, sequences, self._clock).seconds)
        return median(measured)

    async def _capture(self) -> None:
        """Let sessions record what they have run, one device after the other, and measure the first one again."""
        sizes = {bucket.key: self._capture_sizes(bucket) for bucket in self._buckets}
        for number, call in enumerate(self._calls):
            sessions = [(bucket, bucket.on(number).session) for bucket in self._buckets]
            captured: dict[tuple[str, int], Sequence[int]] = {}
            capturing = [(bucket, session) for bucket, session in sessions if isinstance(session, CapturingSession)]
            for bucket, session in capturing:
                await call(partial(session.capture, sizes[bucket.key]))
            # Twice: the second time, every recording has been repeated after every other.
            for bucket, session in [*capturing, *capturing]:
                captured[bucket.key] = await call(session.drop_wrong_captures)
            for bucket, _ in capturing:
                logger.info("recorded %s bucket %d on device %d: sizes %s", *bucket.key, number, captured[bucket.key])
                if number == 0 and captured[bucket.key]:
                    await self._measure_again(bucket)

    def _capture_sizes(self, bucket: ServedBucket) -> list[int]:
        """Return sizes up to the largest that has run: no larger one is known to fit into memory."""
        largest = self._cost_model.measurements[bucket.key][-1][0]
        return [size for size in _CAPTURED_SIZES if size <= largest]

    async def _measure_again(self, bucket: ServedBucket) -> None:
        for items, _ in self._cost_model.measurements[bucket.key]:
            seconds = await self._calls[0](partial(self._time, bucket, items))
            self._cost_model.measured(*bucket.key, items, seconds)

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
