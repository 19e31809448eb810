"""What is served changes while work goes on: a version is prepared beside the traffic, added, and removed when done."""

import asyncio
from collections.abc import Callable

import pytest

from bigbird_inference.buckets import BucketKey, ServedBucket
from bigbird_inference.errors import BundleError
from bigbird_inference.runtime.session import Batch, OutOfMemory
from service.batching.bucket_queue import InferenceResult, WorkItem
from tests.fake_model import FakeSession, sequence
from tests.service.asynchronous import asynchronous
from tests.service.batching.stage import LONG, SHORT, Stage, first_column, warm_stage
from tests.service.manual_executor import settle


class NewVersion:
    """Version 2 of the stage's model; it keeps the order of its runs and of the old version's."""

    def __init__(self, stage: Stage, seconds: float = 1.0, before_run: Callable[[Batch], None] | None = None) -> None:
        self.stage = stage
        self.order: list[str] = []

        def spend(batch: Batch) -> None:
            self.order.append("new")
            stage.clock.advance(seconds * len(batch.input_ids))
            if before_run is not None:
                before_run(batch)

        self.session = FakeSession(spend)
        self.buckets = [ServedBucket("model", length, self.session, 0, version=2) for length in (SHORT, LONG)]
        old_run = stage.short.before_run

        def note(batch: Batch) -> None:
            self.order.append("old")
            old_run(batch)

        stage.short.before_run = note

    async def serve(self) -> None:
        preparing = asyncio.create_task(self.stage.scheduler.buckets.prepare(self.buckets))
        await self.stage.run_all()
        await preparing
        self.stage.scheduler.buckets.add(self.buckets)
        self.session.batches.clear()

    def submit(self, *ids: int) -> asyncio.Future[InferenceResult]:
        return self.stage.scheduler.submit(WorkItem("model", sequence(ids), version=2))


@asynchronous
async def test_each_version_runs_what_it_encoded() -> None:
    async with warm_stage(max_items=1) as stage:
        new = NewVersion(stage)
        await new.serve()
        old_future, new_future = stage.submit(5), new.submit(6)
        await stage.run_all()
        assert (first_column(stage.short), first_column(new.session)) == ([[5]], [[6]])
        assert [future.result().outputs["logits"][0] for future in (old_future, new_future)] == [5.0, 6.0]


@asynchronous
async def test_a_short_document_never_fills_a_place_in_the_batch_of_another_version() -> None:
    async with warm_stage(short_seconds=5.0, same_attention=True) as stage:
        # A place in the new version's long bucket would cost nothing, and the old short bucket is dear.
        new = NewVersion(stage, seconds=0.0)
        await new.serve()
        blocked = stage.submit(1)
        await settle()
        futures = [new.submit(*range(1, LONG)), stage.submit(7)]
        await stage.run_all()
        assert all(future.done() for future in (blocked, *futures))
        assert first_column(new.session) == [[1]]
        assert first_column(stage.short) == [[1], [7]]


@asynchronous
async def test_a_version_is_measured_in_turns_with_the_work_that_waits() -> None:
    async with warm_stage(max_items=1, short_seconds=1.0) as stage:
        new = NewVersion(stage, seconds=3.0)
        futures = [stage.submit(number) for number in range(1, 14)]
        preparing = asyncio.create_task(stage.scheduler.buckets.prepare(new.buckets))
        await stage.run_all()
        await preparing
        assert all(future.done() for future in futures)
        # The run under way, then three seconds for each.
        assert new.order[:17] == ["old", *["new", "old", "old", "old"] * 4], "the traffic has half of the device"


@asynchronous
async def test_beside_traffic_larger_batches_are_measured_only_while_they_pay() -> None:
    """The new version's batches cost what their documents cost: after the first doubling it is known."""
    stage = Stage(warm_up_seconds=1000.0, short_seconds=10.0, long_seconds=10.0)
    await stage.warm()
    new = NewVersion(stage)
    await new.serve()
    sizes = [items for items, _ in stage.cost_model.measurements[BucketKey("model", SHORT, 2)]]
    assert sizes == [1, 2]
    assert [items for items, _ in stage.cost_model.measurements[BucketKey("model", SHORT)]] == [1, 2, 4]
    await stage.close()


@asynchronous
async def test_beside_traffic_no_run_is_longer_than_the_longest_measured_before() -> None:
    stage = Stage(warm_up_seconds=1000.0, max_items=2, short_seconds=0.5, long_seconds=0.5)
    await stage.warm()
    new = NewVersion(stage, seconds=0.9)
    await new.serve()
    # One document takes 0.9 s and two would take 1.8; the longest run of the old version took 1 s.
    assert [items for items, _ in stage.cost_model.measurements[BucketKey("model", LONG, 2)]] == [1]
    await stage.close()


@asynchronous
async def test_a_version_is_removed_when_its_last_work_is_done() -> None:
    async with warm_stage(max_items=1) as stage:
        new = NewVersion(stage)
        await new.serve()
        running, waiting = stage.submit(1), stage.submit(2)
        await settle()
        old = [
            ServedBucket("model", SHORT, stage.short, 0),
            ServedBucket("model", LONG, stage.long, 0, attention="block_sparse"),
        ]
        removing = asyncio.create_task(stage.scheduler.buckets.remove(old))
        await settle()
        await stage.executor.run_next()
        assert running.done()
        assert not removing.done(), "another window of it waits"
        await stage.run_all()
        await removing
        assert waiting.result().outputs["logits"][0] == 2.0
        assert {key.version for key in stage.cost_model.measurements} == {2}
        with pytest.raises(KeyError):
            stage.submit(3)
        still = new.submit(4)
        await stage.run_all()
        assert still.result().outputs["logits"][0] == 4.0


@asynchronous
async def test_a_given_up_window_of_a_removed_version_harms_nobody() -> None:
    async with warm_stage(max_items=1) as stage:
        new = NewVersion(stage)
        await new.serve()
        blocking, given_up = new.submit(1), stage.submit(2)
        await settle()
        given_up.cancel()
        await stage.run_all()
        await stage.scheduler.buckets.remove(
            [ServedBucket("model", length, stage.short, 0) for length in (SHORT, LONG)]
        )
        assert blocking.done()
        assert stage.scheduler.waiting_items("model", SHORT) == 0


@asynchronous
async def test_of_a_version_that_cannot_run_nothing_is_kept() -> None:
    async with warm_stage() as stage:

        def no_room(batch: Batch) -> None:
            if batch.input_ids.shape[1] == LONG:
                raise OutOfMemory

        new = NewVersion(stage, before_run=no_room)
        preparing = asyncio.create_task(stage.scheduler.buckets.prepare(new.buckets))
        await stage.run_all()
        with pytest.raises(BundleError, match=f"cannot run 1 x {LONG} tokens") as refused:
            await preparing
        assert isinstance(refused.value.__cause__, OutOfMemory)
        assert {key.version for key in stage.cost_model.measurements} == {1}
        future = stage.submit(3)
        await stage.run_all()
        assert future.result().outputs["logits"][0] == 3.0
