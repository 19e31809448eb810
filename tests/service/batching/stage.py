"""A scheduler with two buckets of one model, and everything around it under the test's hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bigbird_inference.buckets import ServedBucket
from bigbird_inference.host_memory import MemoryProbe
from bigbird_inference.runtime.session import Batch
from service.batching.admission import QueueLimits
from service.batching.batch_limits import BatchLimits
from service.batching.batch_runner import StuckRule
from service.batching.bucket_queue import InferenceResult, WorkItem
from service.batching.cost_model import CostModel
from service.batching.observer import FinishedBatch
from service.batching.policy import LeastDelay
from service.batching.scheduler import Scheduler, SchedulerOptions
from tests.fake_model import FakeSession, sequence
from tests.service.manual_executor import FakeClock, ManualExecutor, settle

SHORT, LONG = 8, 16


class Recorder:
    """An observer that keeps what it hears."""

    def __init__(self) -> None:
        self.finished: list[FinishedBatch] = []
        self.failed: list[tuple[str, int]] = []
        self.split: list[tuple[str, int, str]] = []
        self.terminated: list[tuple[str, int]] = []
        self.dropped: list[tuple[str, int, str]] = []

    def batch_finished(self, batch: FinishedBatch) -> None:
        self.finished.append(batch)

    def batch_failed(self, model: str, bucket: int) -> None:
        self.failed.append((model, bucket))

    def batch_split(self, model: str, bucket: int, reason: str) -> None:
        self.split.append((model, bucket, reason))

    def run_terminated(self, model: str, bucket: int) -> None:
        self.terminated.append((model, bucket))

    def item_dropped(self, model: str, bucket: int, reason: str) -> None:
        self.dropped.append((model, bucket, reason))


class NoProbe(MemoryProbe):
    """Memory is unknown."""

    def anonymous_bytes(self) -> int | None:
        return None

    def peak_bytes(self) -> int | None:
        return None


class Stage:
    """The scheduler; its runs take time on the fake clock, if told so, and happen when the test says.

    Args:
        short_seconds: What a sequence costs in the short bucket.
        long_seconds: What it costs in the long one.
        same_attention: Whether a short document may fill a place of the long bucket.
        devices: How many devices there are, each with sessions and an executor of its own.
        places: How many batches each may be given at once.
        warm_up_seconds: For how long larger batches are measured.
    """

    def __init__(
        self,
        *,
        max_items: int = 4,
        max_tokens: int = 64,
        max_queued_items: int = 100,
        short_seconds: float = 0.0,
        long_seconds: float = 0.0,
        patience_seconds: float = 5.0,
        delay_seconds: float = 0.0,
        same_attention: bool = False,
        devices: int = 1,
        places: int = 1,
        warm_up_seconds: float = 0.0,
    ) -> None:
        self.clock = FakeClock()
        self.executors = [ManualExecutor() for _ in range(devices)]
        self.executor = self.executors[0]
        self.observer = Recorder()
        self.shorts = [self._session(short_seconds) for _ in range(devices)]
        self.longs = [self._session(long_seconds) for _ in range(devices)]
        self.short, self.long = self.shorts[0], self.longs[0]
        self.cost_model = CostModel(self.clock)
        batch_limits = BatchLimits(max_items, max_tokens)
        self.scheduler = Scheduler(
            [
                ServedBucket("model", SHORT, self.short, 0, attention="full", replicas=tuple(self.shorts[1:])),
                ServedBucket(
                    "model",
                    LONG,
                    self.long,
                    0,
                    attention="full" if same_attention else "block_sparse",
                    replicas=tuple(self.longs[1:]),
                ),
            ],
            executors={f"device {number}": executor for number, executor in enumerate(self.executors)},
            policy=LeastDelay(self.cost_model, batch_limits, delay_seconds),
            limits=QueueLimits(max_queued_items, max_tokens=10_000),
            batch_limits=batch_limits,
            cost_model=self.cost_model,
            observer=self.observer,
            options=SchedulerOptions(
                patience_seconds=patience_seconds,
                warm_up_seconds=warm_up_seconds,
                stuck_rule=StuckRule(factor=10.0, least_seconds=30.0),
                places=places,
            ),
            clock=self.clock,
            probe=NoProbe(),
        )

    def _session(self, seconds: float) -> FakeSession:
        def spend(batch: Batch) -> None:
            self.clock.advance(seconds * len(batch.input_ids))

        return FakeSession(spend)

    async def warm(self) -> None:
        await self.scheduler.start()
        warming = asyncio.create_task(self.scheduler.warm_up())
        await self.run_all()
        await warming
        for session in [*self.shorts, *self.longs]:
            session.batches.clear()

    async def run_all(self) -> None:
        """Run everything on all devices, a piece of each in turn, and what follows from it."""
        await settle()
        while any(executor.work for executor in self.executors):
            for executor in self.executors:
                if executor.work:
                    await executor.run_next()

    def submit(self, *ids: int, timeout: float | None = None) -> asyncio.Future[InferenceResult]:
        deadline = None if timeout is None else self.clock.now + timeout
        return self.scheduler.submit(WorkItem("model", sequence(ids), deadline))

    async def close(self) -> None:
        await self.scheduler.drain(timeout=0)


@asynccontextmanager
async def warm_stage(**options: float) -> AsyncIterator[Stage]:
    stage = Stage(**options)  # type: ignore[arg-type]
    await stage.warm()
    yield stage
    await stage.close()


def first_column(session: FakeSession) -> list[list[int]]:
    """The first token of every sequence, batch by batch."""
    return [batch.input_ids[:, 0].tolist() for batch in session.batches]
