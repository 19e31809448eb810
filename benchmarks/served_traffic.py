"""Traffic through a scheduler, and what became of it: the same for the simulation and for the real executor."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.traffic import Traffic
from bigbird_inference.errors import DeadlineExceeded, DeadlineUnreachable, QueueFull
from bigbird_inference.tokenization.encoded import EncodedSequence
from service.batching.bucket_queue import InferenceResult, WorkItem
from service.batching.observer import DropReason, FinishedBatch, SplitReason
from service.batching.scheduler import Scheduler

MODEL = "base"


class TokenCount:
    """An observer that adds up what the device computed."""

    def __init__(self) -> None:
        self.real = 0
        self.computed = 0

    def batch_finished(self, batch: FinishedBatch) -> None:
        self.real += sum(batch.lengths)
        self.computed += batch.bucket * len(batch.lengths)

    def batch_failed(self, model: str, bucket: int) -> None:
        raise AssertionError("no run of a benchmark may fail")

    def batch_split(self, model: str, bucket: int, reason: SplitReason) -> None: ...

    def run_terminated(self, model: str, bucket: int) -> None: ...

    def item_dropped(self, model: str, bucket: int, reason: DropReason) -> None: ...


@dataclass(slots=True)
class Served:
    """What became of a stretch of traffic.

    Attributes:
        seconds: Time over which it arrived.
        offered: Documents that arrived.
        latencies: Of the documents that were answered.
        tokens: Real tokens of documents that were answered within that time.
        tokens_in_time: Those of them whose answer came before the deadline.
        answered_in_time: Documents answered before their deadline.
        refused_full: Documents refused because the queue was full.
        refused_unreachable: Documents refused because they would have missed their deadline.
        dropped: Documents that were accepted and whose deadline passed before they ran.
        counted: Tokens that the device computed, padding included.
    """

    seconds: float
    offered: int = 0
    latencies: list[float] = field(default_factory=list)
    tokens: int = 0
    tokens_in_time: int = 0
    answered_in_time: int = 0
    refused_full: int = 0
    refused_unreachable: int = 0
    dropped: int = 0
    counted: TokenCount = field(default_factory=TokenCount)

    @property
    def lost(self) -> int:
        """Documents of which nobody knows what became; must be 0."""
        return self.offered - len(self.latencies) - self.refused_full - self.refused_unreachable - self.dropped

    def percentiles(self, ranks: Sequence[float]) -> list[float]:
        """Return percentiles of the latency in seconds."""
        return [float(value) for value in np.percentile(self.latencies, ranks)] if self.latencies else []


async def serve_traffic(
    scheduler: Scheduler, traffic: Traffic, seconds: float, deadline_seconds: float | None
) -> Served:
    """Submit every document when it arrives and wait until all have ended.

    A client that waits longer than the deadline still takes its answer, which then counts as late.
    """
    served = Served(seconds, counted=TokenCount())
    start = scheduler.now()
    loop = asyncio.get_running_loop()
    waiting: list[asyncio.Task[None]] = []
    for arrival, length in zip(traffic.arrivals.tolist(), traffic.lengths.tolist(), strict=True):
        await _sleep_until(scheduler, start + arrival)
        served.offered += 1
        deadline = None if deadline_seconds is None else scheduler.now() + deadline_seconds
        try:
            future = scheduler.submit(WorkItem(MODEL, document(length), deadline))
        except QueueFull:
            served.refused_full += 1
        except DeadlineUnreachable:
            served.refused_unreachable += 1
        else:
            waiting.append(
                loop.create_task(_follow(scheduler, served, future, start, scheduler.now(), length, deadline))
            )
    await asyncio.gather(*waiting)
    return served


async def _follow(
    scheduler: Scheduler,
    served: Served,
    future: asyncio.Future[InferenceResult],
    start: float,
    arrived: float,
    length: int,
    deadline: float | None,
) -> None:
    try:
        await future
    except DeadlineExceeded:
        served.dropped += 1
        return
    now = scheduler.now()
    served.latencies.append(now - arrived)
    in_time = deadline is None or now <= deadline
    served.answered_in_time += in_time
    if now - start <= served.seconds:
        served.tokens += length
        served.tokens_in_time += length if in_time else 0


async def _sleep_until(scheduler: Scheduler, moment: float) -> None:
    delay = moment - scheduler.now()
    if delay > 0:
        await asyncio.sleep(delay)


def document(length: int) -> EncodedSequence:
    """Return a sequence of so many tokens."""
    ids = np.full(length, 7, dtype=np.int64)
    return EncodedSequence(ids, np.zeros_like(ids))
