"""A failure inside a batch: who is hit, how often is tried, and what goes on."""

import asyncio

import pytest

from bigbird_inference.buckets import BucketKey
from bigbird_inference.errors import DeadlineExceeded, InferenceFailed, NotReady
from bigbird_inference.runtime.session import Batch, OutOfMemory
from tests.fake_model import POISON
from tests.service.asynchronous import asynchronous
from tests.service.batching.stage import SHORT, first_column, warm_stage
from tests.service.manual_executor import settle


@asynchronous
async def test_one_poisonous_item_fails_alone_within_a_bounded_number_of_runs() -> None:
    for place in range(8):
        async with warm_stage(max_items=8) as stage:
            futures = [stage.submit(POISON if place == token else token + 1) for token in range(8)]
            await stage.executor.run_all()
            for token, future in enumerate(futures):
                if token == place:
                    error = future.exception()
                    assert isinstance(error, InferenceFailed)
                    assert "secret" not in error.detail
                else:
                    assert future.result().outputs["logits"][0] == token + 1
            # All eight, then two halves of four, of two, of one.
            assert sorted(len(run) for run in first_column(stage.short)) == [1, 1, 2, 2, 4, 4, 8]
            assert stage.observer.failed == [("model", SHORT)] * 4
            assert stage.observer.split == [("model", SHORT, "failure")] * 3


@asynchronous
async def test_a_model_that_always_fails_is_tried_at_most_twice_for_each_item() -> None:
    async with warm_stage(max_items=8) as stage:
        futures = [stage.submit(POISON) for _ in range(8)]
        await stage.executor.run_all()
        assert all(isinstance(future.exception(), InferenceFailed) for future in futures)
        assert len(stage.short.batches) == 15
        later = stage.submit(2)
        await stage.executor.run_all()
        assert later.result().outputs["logits"][0] == 2.0
        assert stage.scheduler.fault is None


@asynchronous
async def test_outputs_that_do_not_fit_what_went_in_fail_the_run() -> None:
    async with warm_stage() as stage:
        good = stage.short.run
        stage.short.run = (
            lambda batch, control=None: {  # type: ignore[method-assign]
                name: array[:1].repeat(7, axis=0) for name, array in good(batch).items()
            }
        )
        future = stage.submit(1)
        await stage.executor.run_all()
        assert isinstance(future.exception(), InferenceFailed)


@asynchronous
async def test_out_of_memory_halves_the_batch_for_good() -> None:
    async with warm_stage(max_items=8) as stage:

        def room_for_three(batch: Batch) -> None:
            if len(batch.input_ids) > 3:
                raise OutOfMemory

        stage.short.before_run = room_for_three
        first = [stage.submit(token) for token in range(1, 9)]
        await stage.executor.run_all()
        assert [future.result().outputs["logits"][0] for future in first] == list(range(1, 9))
        assert [len(run) for run in first_column(stage.short)] == [8, 4, 2, 2, 4, 2, 2]
        assert set(stage.observer.split) == {("model", SHORT, "out_of_memory")}
        stage.short.batches.clear()
        second = [stage.submit(token) for token in range(1, 9)]
        await stage.executor.run_all()
        assert all(future.result() for future in second)
        assert [len(run) for run in first_column(stage.short)] == [2, 2, 2, 2]


@asynchronous
async def test_out_of_memory_of_one_item_fails_it_alone() -> None:
    async with warm_stage() as stage:

        def no_room(batch: Batch) -> None:
            if (batch.input_ids == 9).any():
                raise OutOfMemory

        stage.short.before_run = no_room
        large, small = stage.submit(9), stage.submit(1)
        await stage.executor.run_all()
        assert isinstance(large.exception(), InferenceFailed)
        assert small.result().outputs["logits"][0] == 1.0


@asynchronous
async def test_an_item_whose_deadline_passes_while_another_half_runs_is_not_run_again() -> None:
    async with warm_stage(short_seconds=0.0, max_items=2) as stage:
        stage.short.before_run = lambda batch: stage.clock.advance(3.0)
        poisoned, late = stage.submit(POISON, timeout=3.5), stage.submit(1, timeout=4.0)
        await stage.executor.run_all()
        assert isinstance(poisoned.exception(), InferenceFailed)
        assert isinstance(late.exception(), DeadlineExceeded)
        assert [len(run) for run in first_column(stage.short)] == [2, 1]


@asynchronous
async def test_failed_runs_teach_the_cost_model_nothing() -> None:
    async with warm_stage(short_seconds=1.0, max_items=2) as stage:
        stage.short.before_run = lambda batch: stage.clock.advance(9.0)
        stage.submit(POISON)
        await stage.executor.run_all()
        assert stage.cost_model.predict(BucketKey("model", SHORT), 1) == 1.0


@asynchronous
async def test_a_run_that_does_not_end_is_a_fault_and_new_work_is_refused_until_it_does_end() -> None:
    async with warm_stage(short_seconds=5.0) as stage:
        running = stage.submit(1)
        await settle()
        stage.clock.advance(50.0)  # ten times what was predicted
        assert stage.scheduler.fault is None
        stage.clock.advance(0.1)
        assert isinstance(stage.scheduler.fault, NotReady)
        with pytest.raises(NotReady, match="does not end"):
            stage.submit(2)
        await stage.executor.run_all()
        assert running.done()
        assert stage.scheduler.fault is None
        stage.submit(2)


@asynchronous
async def test_a_short_run_is_not_stuck_before_the_least_time() -> None:
    async with warm_stage(short_seconds=0.001) as stage:
        stage.submit(1)
        await settle()
        stage.clock.advance(29.0)
        assert stage.scheduler.fault is None
        stage.clock.advance(2.0)
        assert isinstance(stage.scheduler.fault, NotReady)


@asynchronous
async def test_the_executors_death_between_two_halves_fails_both() -> None:
    async with warm_stage(max_items=2) as stage:
        poisoned, neighbour = stage.submit(POISON), stage.submit(1)
        await settle()
        await stage.executor.run_next()
        stage.executor.die()
        await settle()
        for future in (poisoned, neighbour):
            assert isinstance(future.exception(), NotReady)
        await asyncio.sleep(0)
