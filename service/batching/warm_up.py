"""Running chosen shapes before work is accepted: memory is faulted in, and what batches cost is measured.

Of each graph the shortest and the longest bucket are run, and between them lengths that halve from one to the next, the
longest first. First with one sequence of full length each, then in larger batches (2, 4, 8, ... up to the bucket's
cap), the cheapest first, for as long as the time budget allows; what it does not allow is extrapolated by the cost
model. The other buckets are predicted from those around them (`service.batching.measured_buckets`), so that neither the
time of a start nor its memory grows with the number of buckets. As the seconds of block-sparse attention lie on a
straight line, what is between its ends is run only where the budget allows it.

The first device is measured, and the others, which are like it, run the same shapes after it. Sessions that can record
a shape's work (`CapturingSession`) do so in the end, device by device: a recording fails if another device is used
meanwhile, or if the shape itself takes memory that it has not taken before. Then the first device is measured again.

A model that is loaded while others serve is warmed beside their work, run by run: before each run the device gives way
to what waits. Larger batches are then measured only where they pay, and none that would take longer than anything
measured before, so that nobody waits for a run longer than those that serve. Nothing is recorded, because other devices
are in use.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from statistics import median
from typing import Protocol, TypeVar

import numpy as np

from bigbird_inference.batch_run import run_batch
from bigbird_inference.buckets import BucketKey, ServedBucket
from bigbird_inference.errors import BundleError
from bigbird_inference.host_memory import MemoryMeter
from bigbird_inference.runtime.session import CapturingSession, OutOfMemory, Shape, bundle_blamed
from bigbird_inference.tokenization.encoded import EncodedSequence
from service.batching.batch_limits import BatchLimits
from service.batching.cost_model import CostModel
from service.batching.measured_buckets import by_graph, halving, measured_first, predict_others

logger = logging.getLogger(__name__)

# The first two runs of a graph's longest shape fault in its memory page by page; the first of them asked for the known
# answer. Shorter shapes find memory that is there, and their first run at most lays it out anew.
UNMEASURED_RUNS = 1
# What has been run for the known answer is measured at once if that faults in no more than this share of what runs have
# taken already: all graphs of a CPU share their memory.
_LITTLE_MEMORY = 0.1
# Short runs are noisy, and cheap to repeat: so many are measured as long as they take no longer than this together.
_MEASURED_RUNS = 3
_MEASURED_SECONDS = 0.1
# Beside traffic, a bucket's larger batches are measured while doubling one saves at least a tenth.
_WORTH_DOUBLING = 0.9
# The smaller a batch, the more of its time is launching.
_CAPTURED_SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32)

ResultT = TypeVar("ResultT")

GiveWay = Callable[[int, float], Awaitable[None]]
"""Lets a device, by its number, work for so many seconds on what waits, if anything does."""


class ExecutorCall(Protocol):
    """Runs a function on a device's executor."""

    def __call__(self, function: Callable[[], ResultT]) -> Awaitable[ResultT]:
        """Return its result when it has run."""
        ...


async def _alone(device: int, seconds: float) -> None:
    """Give way to nothing: no work is accepted yet."""


class WarmUp:
    """Warms and measures buckets; one call at a time.

    Args:
        calls: Runs a function on each device's executor.
        cost_model: Receives seconds.
        limits: Receives memory, and says up to which size a bucket is measured.
        clock: Monotonic seconds.
        budget_seconds: When to stop measuring larger batches.
        probe: Reads the first device's memory.
    """

    def __init__(
        self,
        calls: Sequence[ExecutorCall],
        cost_model: CostModel,
        limits: BatchLimits,
        clock: Callable[[], float],
        budget_seconds: float,
        probe: MemoryMeter,
    ) -> None:
        self._calls = calls
        self._cost_model = cost_model
        self._limits = limits
        self._clock = clock
        self._budget_seconds = budget_seconds
        self._probe = probe
        self._memory_before: int | None = None
        self._most_memory = 0
        self._graphs: dict[BucketKey, list[ServedBucket]] = {}
        self._memory_rates: dict[BucketKey, float] = {}
        self._give_way: GiveWay = _alone

    async def run(self, buckets: Sequence[ServedBucket], give_way: GiveWay | None = None) -> None:
        """Warm everything.

        Args:
            buckets: What to warm.
            give_way: Called before each run beside traffic; None where there is no traffic yet.

        Raises:
            BundleError: A bucket cannot run; if only memory is wanting, not even one sequence.
        """
        self._give_way = give_way or _alone
        graphs = by_graph(buckets)
        self._graphs = {bucket.key: graph for graph in graphs for bucket in graph}
        try:
            await self._run_graphs(graphs, give_way)
        finally:
            # No session is held of a model that may be exchanged.
            self._graphs, self._memory_rates, self._give_way = {}, {}, _alone

    async def _run_graphs(self, graphs: Sequence[Sequence[ServedBucket]], give_way: GiveWay | None) -> None:
        ends_at = self._clock() + self._budget_seconds
        if self._memory_before is None:
            await self.note_memory()
        measured = [bucket for graph in graphs for bucket in measured_first(graph)]
        for number, bucket in enumerate(measured, start=1):
            await self._measure(bucket, 1)
            seconds = self._predict(bucket, 1)
            logger.info(
                "warming %d of %d: %s bucket %d, %.3f s", number, len(measured), bucket.model, bucket.length, seconds
            )
        logger.info("measuring larger batches for up to %.0f s", max(ends_at - self._clock(), 0))
        longest = float("inf") if give_way is None else self._longest_measured()
        self._predict_unmeasured(graphs, measured)
        worth_measuring = [bucket for graph in graphs for bucket in halving(graph)]
        open_buckets = {bucket.key: bucket for bucket in worth_measuring}
        next_sizes = {bucket.key: 2 if bucket in measured else 1 for bucket in worth_measuring}
        while open_buckets:
            bucket = min(open_buckets.values(), key=lambda bucket: self._predict(bucket, next_sizes[bucket.key]))
            size = next_sizes[bucket.key]
            seconds = self._predict(bucket, size)
            if self._clock() + (UNMEASURED_RUNS + 1) * seconds > ends_at:
                break
            allowed = size <= self._limits.most_items(bucket) and seconds <= longest
            if not (allowed and await self._try(bucket, size) and (give_way is None or self._paid(bucket, size))):
                del open_buckets[bucket.key]
            elif size == 1:
                measured.append(bucket)
            next_sizes[bucket.key] = size * 2
        if give_way is None:
            await self._capture(measured)
        self._predict_unmeasured(graphs, measured)
        self._log(measured)

    async def note_memory(self) -> None:
        """Note the memory in use, but for what runs have taken: all buckets share what any of them took.

        To be called when models are loaded and nothing of them has run: the known answer takes memory too.
        """
        used = await self._calls[0](self._probe.anonymous_bytes)
        self._memory_before = None if used is None else used - self._most_memory

    def _predict(self, bucket: ServedBucket, items: int) -> float:
        return self._cost_model.predict(bucket.key, items)

    def _longest_measured(self) -> float:
        """Return the longest run that has been measured, of any model."""
        return max(seconds for points in self._cost_model.measurements.values() for _, seconds in points)

    def _paid(self, bucket: ServedBucket, items: int) -> bool:
        """Tell whether a batch was cheaper than two of half the size."""
        return items == 1 or self._predict(bucket, items) <= _WORTH_DOUBLING * 2 * self._predict(bucket, items // 2)

    async def _try(self, bucket: ServedBucket, items: int) -> bool:
        try:
            await self._measure(bucket, items)
        except BundleError as error:
            if not isinstance(error.__cause__, OutOfMemory):
                raise
            logger.warning("no memory for %d sequences: model %s, bucket %d", items, bucket.model, bucket.length)
            self._limits.out_of_memory(bucket, items)
            return False
        return True

    async def _measure(self, bucket: ServedBucket, items: int) -> None:
        """Warm one shape on the first device and measure it, then run it on the others."""
        measured: list[float] = []
        peaks: list[int] = []
        for number in range(UNMEASURED_RUNS + _MEASURED_RUNS):
            seconds, before, peak = await self._calls[0](partial(self._run, bucket, items, self._probe))
            await self._give_way(0, seconds)
            peaks += [] if peak is None else [peak]
            if number >= UNMEASURED_RUNS or self._is_settled(bucket, items, before, peak):
                measured.append(seconds)
            if sum(measured) >= _MEASURED_SECONDS:
                break
        self._cost_model.measured(bucket.key, items, median(measured))
        if self._memory_before is not None and peaks:
            self._note_taken(bucket, items, max(max(peaks) - self._memory_before, 0))
        for device, call in enumerate(self._calls[1:], start=1):
            for _ in range(UNMEASURED_RUNS):
                seconds, *_ = await call(partial(self._run, bucket.on(device), items, None))
                await self._give_way(device, seconds)

    def _is_settled(self, bucket: ServedBucket, items: int, before: int | None, peak: int | None) -> bool:
        """Tell whether a first run is like later ones: it was none, and it has hardly taken memory."""
        graph = self._graphs[bucket.key]
        if items > 1 or bucket not in (graph[0], graph[-1]) or before is None or peak is None:
            return False
        return peak - before <= _LITTLE_MEMORY * self._most_memory

    def _note_taken(self, bucket: ServedBucket, items: int, taken: int) -> None:
        """Tell the memory of every bucket of a graph, in proportion to its tokens, by the run that took most for each.

        A run that finds room in what earlier ones have taken tells nothing, unless nothing else is known of its graph.
        """
        graph = self._graphs[bucket.key]
        own = graph[-1].key
        if taken > self._most_memory or own not in self._memory_rates:
            rate = max(taken, self._most_memory) / (items * bucket.length)
            self._memory_rates[own] = max(rate, self._memory_rates.get(own, 0.0))
            for other in graph:
                self._limits.memory_measured(other, 1, int(self._memory_rates[own] * other.length))
        self._most_memory = max(self._most_memory, taken)

    def _run(self, bucket: ServedBucket, items: int, probe: MemoryMeter | None) -> tuple[float, int | None, int | None]:
        """Run one shape once, on the executor's thread; return seconds, memory before it and its highest point."""
        before = None if probe is None else probe.anonymous_bytes()
        with bundle_blamed(f"model {bucket.model} cannot run {items} x {bucket.length} tokens"):
            outcome = run_batch(bucket, [_filler(bucket)] * items, self._clock)
        return outcome.seconds, before, None if probe is None else probe.peak_bytes()

    async def _capture(self, buckets: Sequence[ServedBucket]) -> None:
        """Let sessions record what they have run, one device after the other, and measure the first one again."""
        recorded: set[Shape] = set()
        for number, call in enumerate(self._calls):
            capturing: dict[int, tuple[CapturingSession, list[Shape]]] = {}
            for bucket in buckets:
                session = bucket.on(number).session
                if isinstance(session, CapturingSession):
                    capturing.setdefault(id(session), (session, []))[1].extend(self._capture_shapes(bucket))
            for recorder, shapes in capturing.values():
                await call(partial(recorder.capture, shapes))
            # Twice: the second time, every recording has been repeated after every other.
            for recorder, _ in [*capturing.values(), *capturing.values()]:
                found = await call(recorder.drop_wrong_captures)
                if found:
                    logger.info("device %d recorded shapes %s", number, [tuple(shape) for shape in found])
                recorded |= set(found) if number == 0 else set()
        if recorded:
            for bucket in buckets:
                await self._measure_again(bucket)

    def _capture_shapes(self, bucket: ServedBucket) -> list[Shape]:
        """Return shapes up to the largest that has run: no larger one is known to fit into memory."""
        largest = self._cost_model.measurements[bucket.key][-1][0]
        return [Shape(size, bucket.length) for size in _CAPTURED_SIZES if size <= largest]

    def _predict_unmeasured(self, graphs: Sequence[Sequence[ServedBucket]], measured: Sequence[ServedBucket]) -> None:
        for graph in graphs:
            predict_others(self._cost_model, graph, [bucket for bucket in reversed(graph) if bucket in measured])

    async def _measure_again(self, bucket: ServedBucket) -> None:
        for items, _ in self._cost_model.measurements[bucket.key]:
            measured: list[float] = []
            while len(measured) < _MEASURED_RUNS and sum(measured) < _MEASURED_SECONDS:
                seconds, *_ = await self._calls[0](partial(self._run, bucket, items, None))
                measured.append(seconds)
            self._cost_model.measured(bucket.key, items, median(measured))

    def _log(self, buckets: Sequence[ServedBucket]) -> None:
        for bucket in buckets:
            measured = ", ".join(
                f"{items}: {seconds:.3f} s" for items, seconds in self._cost_model.measurements[bucket.key]
            )
            most = self._limits.most_items(bucket)
            logger.info("warmed %s bucket %d (%s); at most %d in a batch", bucket.model, bucket.length, measured, most)


def _filler(bucket: ServedBucket) -> EncodedSequence:
    """Return a sequence as long as the bucket, with one position where the model takes positions."""
    ids = np.full(bucket.length, bucket.pad_id, dtype=np.int64)
    positions = np.zeros(1, dtype=np.int64) if bucket.takes_positions else None
    return EncodedSequence(ids, np.zeros_like(ids), positions)
