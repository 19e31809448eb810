"""Whatever happens, and in whatever order: each accepted item ends exactly once."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from service.batching.admission import QueueLimits
from service.batching.buckets import ServedBucket
from service.batching.policy import OldestFirst
from service.batching.scheduler import Scheduler
from service.batching.work_item import InferenceResult, WorkItem
from service.errors import DeadlineExceeded, InferenceFailed, NotReady, QueueFull
from tests.service.asynchronous import asynchronous
from tests.service.fake_model import POISON, FakeSession, sequence
from tests.service.manual_executor import FakeClock, ManualExecutor, settle


class Silent:
    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: None


@pytest.mark.parametrize("ending", ["drains in time", "drains too late", "loses its executor"])
@pytest.mark.parametrize("seed", range(10))
@asynchronous
async def test_every_accepted_item_ends_once_and_rightly(seed: int, ending: str) -> None:
    random = np.random.default_rng(seed)
    clock, executor = FakeClock(), ManualExecutor()
    observer: Any = Silent()
    scheduler = Scheduler(
        [ServedBucket(model, length, FakeSession(), 0) for model in ("a", "b") for length in (4, 8, 16)],
        executor=executor,
        policy=OldestFirst(max_items=3, max_tokens=32),
        limits=QueueLimits(max_items=12, max_tokens=100),
        observer=observer,
        clock=clock,
    )
    await scheduler.start()
    warming = asyncio.create_task(scheduler.warm_up())
    await executor.run_all()
    await warming

    accepted: list[tuple[WorkItem, asyncio.Future[InferenceResult], list[object]]] = []
    refused = 0
    for _ in range(200):
        match random.choice(["submit", "run", "wait", "leave"], p=[0.6, 0.15, 0.15, 0.1]):
            case "submit":
                ids = random.integers(1, 100, size=random.integers(1, 17))
                if random.random() < 0.05:
                    ids[0] = POISON
                deadline = clock.now + float(random.integers(1, 10)) if random.random() < 0.5 else None
                item = WorkItem(str(random.choice(["a", "b"])), sequence(ids.tolist()), deadline)
                try:
                    future = scheduler.submit(item)
                except QueueFull:
                    refused += 1
                    continue
                ends: list[object] = []
                future.add_done_callback(ends.append)
                accepted.append((item, future, ends))
            case "run":
                await settle()
                if executor.work:
                    await executor.run_next()
            case "wait":
                clock.advance(float(random.integers(1, 4)))
            case "leave":
                if accepted:
                    accepted[random.integers(len(accepted))][1].cancel()

    if ending == "drains in time":
        draining = asyncio.create_task(scheduler.drain(timeout=60))
        await executor.run_all()
        await draining
    elif ending == "drains too late":
        await scheduler.drain(timeout=0)
    else:
        executor.die()
        await settle()
        await scheduler.drain(timeout=0)
    await settle()

    assert len(accepted) > 20 and refused > 0
    for item, future, ends in accepted:
        assert len(ends) == 1
        if future.cancelled():
            continue
        error = future.exception()
        if error is None:
            assert future.result().logits[0] == item.sequence.input_ids.sum()
        elif ending == "drains in time":
            assert isinstance(error, InferenceFailed | DeadlineExceeded)
        else:
            assert isinstance(error, InferenceFailed | DeadlineExceeded | NotReady)
