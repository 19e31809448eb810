"""The two devices of the serving benchmark, and the policies that they run under."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np

from benchmarks.fifo_policies import CountFifo, TokenBudgetFifo
from benchmarks.served_traffic import MODEL, Served, TokenCount, document, serve_traffic
from benchmarks.traffic import Traffic, document_lengths, poisson_traffic
from benchmarks.virtual_time import CostedSession, Costs, VirtualExecutor, VirtualLoop
from bigbird_inference.batch_run import run_batch
from bigbird_inference.buckets import BucketKey, ServedBucket
from bigbird_inference.bundle import open_bundle
from service.batching.admission import QueueLimits
from service.batching.batch_limits import BatchLimits
from service.batching.cost_model import CostModel
from service.batching.executor import Executor, ThreadExecutor
from service.batching.policy import BatchPolicy, LeastDelay
from service.batching.scheduler import Scheduler, SchedulerOptions
from service.models.loading import load_model
from service.settings import load_settings

PolicyName = Literal["FIFO one by one", "FIFO by count", "FIFO by tokens", "ours"]

# The default of `max_batch_tokens`, and a usual count. The result depends on the count, so the benchmark also reports
# others (`serving_counts`), and one document at a time beside the policies.
_MOST_TOKENS = 16_384
_MOST_ITEMS = 8
_FULL_ATTENTION_EDGE = 704
_MEASURED_RUNS = 2
MEASURED_SIZES = (1, 2)
"""Larger batches cost in proportion on a CPU."""


@dataclass(frozen=True, slots=True)
class PolicyChoice:
    """How a policy is made, and its cap in documents or padded tokens."""

    make: Callable[[CostModel, BatchLimits], BatchPolicy]
    cap: int
    keeps_deadlines: bool


POLICIES: dict[PolicyName, PolicyChoice] = {
    "FIFO one by one": PolicyChoice(lambda cost_model, limits: CountFifo(1), 1, False),
    "FIFO by count": PolicyChoice(lambda cost_model, limits: CountFifo(_MOST_ITEMS), _MOST_ITEMS, False),
    "FIFO by tokens": PolicyChoice(lambda cost_model, limits: TokenBudgetFifo(_MOST_TOKENS), _MOST_TOKENS, False),
    "ours": PolicyChoice(LeastDelay, _MOST_TOKENS, True),
}


class VirtualDevice:
    """A device that only counts, under a virtual clock.

    Args:
        costs: Measured seconds by bucket and batch size.
    """

    def __init__(self, costs: Costs) -> None:
        self._costs = costs

    def estimate(self, tokens: float) -> float:
        """Return about how many documents of a length are processed in a second."""
        bucket = min((bucket for bucket in self._costs if bucket >= tokens), default=max(self._costs))
        return 1 / self._costs[bucket][1]

    def serve(
        self, policy: PolicyName | PolicyChoice, rate: float, seconds: float, deadline_seconds: float | None
    ) -> Served:
        """Serve traffic of a rate with a policy."""
        loop, traffic = VirtualLoop(), poisson_traffic(rate, seconds)
        buckets = [
            ServedBucket(
                MODEL,
                length,
                CostedSession(loop, sizes, seed=length),
                pad_id=0,
                attention="full" if length <= _FULL_ATTENTION_EDGE else "block_sparse",
            )
            for length, sizes in sorted(self._costs.items())
        ]
        try:
            return loop.run_until_complete(
                _serve(
                    buckets, VirtualExecutor(loop), loop.clock, self._costs, policy, traffic, seconds, deadline_seconds
                )
            )
        finally:
            loop.close()


class DemoDevice:
    """A bundle on this machine.

    Args:
        bundle: Its folder.
        costs: Measured seconds by bucket and batch size; None to measure them when they are needed.
    """

    def __init__(self, bundle: Path, costs: Costs | None = None) -> None:
        model = load_model(open_bundle(bundle), load_settings())
        self._buckets = [replace(bucket, model=MODEL) for bucket in model.buckets()]
        self._costs: Costs = costs or {}

    def with_lengths(self, lengths: Collection[int]) -> "DemoDevice":
        """Return the same sessions with some of the buckets."""
        device = copy(self)
        device._buckets = [bucket for bucket in self._buckets if bucket.length in lengths]
        device._costs = {length: sizes for length, sizes in self._costs.items() if length in lengths}
        return device

    def estimate(self, tokens: float) -> float:
        """Return about how many documents of a length are processed in a second."""
        # Measured once: every policy starts from the same figures, and from memory that has been faulted in.
        self._costs = self._costs or self.measure()
        bucket = min((bucket for bucket in self._costs if bucket >= tokens), default=max(self._costs))
        return 1 / self._costs[bucket][1]

    def measure(self) -> Costs:
        """Return the seconds of every bucket and of some batch sizes, the longest bucket first."""
        limits = _batch_limits()
        return {
            bucket.length: {
                size: _seconds(bucket, size) for size in MEASURED_SIZES if size <= limits.most_items(bucket)
            }
            for bucket in reversed(self._buckets)
        }

    def serve(self, policy: PolicyName, rate: float, seconds: float, deadline_seconds: float | None) -> Served:
        """Serve traffic of a rate with a policy."""
        return self._run(policy, poisson_traffic(rate, seconds), seconds, deadline_seconds)

    def process_all(self, documents: int) -> Served:
        """Serve documents that all come at once; the seconds are those until the last of them is answered."""
        traffic = Traffic(np.zeros(documents), document_lengths(documents))
        served = self._run("ours", traffic, float("inf"), None)
        served.seconds = max(served.latencies)
        return served

    def _run(self, policy: PolicyName, traffic: Traffic, seconds: float, deadline_seconds: float | None) -> Served:
        executor = ThreadExecutor("executor")
        return asyncio.run(
            _serve(self._buckets, executor, time.monotonic, self._costs, policy, traffic, seconds, deadline_seconds)
        )


def _seconds(bucket: ServedBucket, size: int) -> float:
    """Return the median time of a batch that fills its bucket, after a run that faults in what the shape needs."""
    documents = [document(bucket.length)] * size
    runs = [run_batch(bucket, documents, time.perf_counter).seconds for _ in range(1 + _MEASURED_RUNS)]
    return median(runs[1:])


def _batch_limits() -> BatchLimits:
    settings = load_settings()
    return BatchLimits(settings.max_batch_items, settings.max_batch_tokens)


async def _serve(
    buckets: Sequence[ServedBucket],
    executor: Executor,
    clock: Callable[[], float],
    costs: Costs,
    policy: PolicyName | PolicyChoice,
    traffic: Traffic,
    seconds: float,
    deadline_seconds: float | None,
) -> Served:
    count = TokenCount()
    scheduler, cost_model = _scheduler(buckets, executor, clock, policy, count, warm_up_seconds=0)
    await scheduler.start()
    await scheduler.warm_up()
    for bucket, sizes in costs.items():
        for size, own_seconds in sizes.items():
            cost_model.measured(BucketKey(MODEL, bucket), size, own_seconds)
    served = await serve_traffic(scheduler, traffic, seconds, deadline_seconds)
    await scheduler.drain(0)
    served.counted = count
    return served


def _scheduler(
    buckets: Sequence[ServedBucket],
    executor: Executor,
    clock: Callable[[], float],
    policy: PolicyName | PolicyChoice,
    count: TokenCount,
    warm_up_seconds: float,
) -> tuple[Scheduler, CostModel]:
    """Wire a scheduler as the service does, but for the policy."""
    choice = policy if isinstance(policy, PolicyChoice) else POLICIES[policy]
    settings = load_settings()
    cost_model = CostModel(clock)
    limits = _batch_limits()
    scheduler = Scheduler(
        buckets,
        executors={"cpu": executor},
        policy=choice.make(cost_model, limits),
        limits=QueueLimits(settings.max_queued_items, settings.max_queued_tokens),
        batch_limits=limits,
        cost_model=cost_model,
        observer=count,
        options=SchedulerOptions(
            patience_seconds=settings.queue_patience_seconds,
            warm_up_seconds=warm_up_seconds,
            keeps_deadlines=choice.keeps_deadlines,
        ),
        clock=clock,
    )
    return scheduler, cost_model
