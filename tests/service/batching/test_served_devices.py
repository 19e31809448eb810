"""One scheduler, one set of queues, several devices: who runs what, and what the loss of one means."""

import asyncio

import pytest

from bigbird_inference.errors import DeadlineUnreachable, NotReady, QueueFull
from bigbird_inference.runtime.session import Batch, DeviceLost
from service.batching.served_devices import DeviceState
from service.batching.warm_up import UNMEASURED_RUNS
from tests.service.asynchronous import asynchronous
from tests.service.batching.stage import LONG, SHORT, Stage, first_column, warm_stage
from tests.service.manual_executor import settle


@asynchronous
async def test_both_devices_work_at_the_same_time_on_sessions_of_their_own() -> None:
    async with warm_stage(devices=2) as stage:
        long, short = stage.submit(*range(1, LONG + 1)), stage.submit(2)
        await settle()
        assert [len(executor.work) for executor in stage.executors] == [1, 1]
        await stage.run_all()
        assert (long.result().bucket, short.result().bucket) == (LONG, SHORT)
        by_device = [
            first_column(own_short) + first_column(own_long)
            for own_short, own_long in zip(stage.shorts, stage.longs, strict=True)
        ]
        assert sorted(by_device) == [[[1]], [[2]]]
        assert sorted(batch.device for batch in stage.observer.finished) == ["device 0", "device 1"]


@asynchronous
async def test_the_next_batch_goes_to_whichever_device_is_free() -> None:
    async with warm_stage(devices=2, max_items=1) as stage:
        futures = [stage.submit(token) for token in (1, 2, 3, 4)]
        await settle()
        # The second device is slow: the first one takes everything else.
        for _ in range(3):
            await stage.executors[0].run_next()
        assert [future.done() for future in futures] == [True, False, True, True]
        await stage.executors[1].run_next()
        assert futures[1].result().outputs["logits"][0] == 2.0


@asynchronous
async def test_what_arrives_while_all_devices_are_busy_shares_the_next_batch() -> None:
    async with warm_stage(devices=2, max_items=4) as stage:
        stage.submit(1)
        await settle()
        stage.submit(2)
        await settle()
        for token in (3, 4, 5):
            stage.submit(token)
        await settle()
        await stage.executors[1].run_next()
        await stage.executors[1].run_next()
        assert first_column(stage.shorts[1]) == [[2], [3, 4, 5]]
        await stage.run_all()
        assert first_column(stage.shorts[0]) == [[1]]


@asynchronous
async def test_a_forecast_shares_the_work_ahead_among_the_devices() -> None:
    async def submit(devices: int, timeout: float) -> None:
        async with warm_stage(devices=devices, max_items=1, short_seconds=1.0, patience_seconds=0.0) as stage:
            for _ in range(4):
                stage.submit(1)
            stage.submit(1, timeout=timeout)
            await stage.run_all()

    # Five documents of a second each: five seconds on one device, two and a half on two.
    await submit(2, 2.6)
    with pytest.raises(DeadlineUnreachable):
        await submit(2, 2.4)
    with pytest.raises(DeadlineUnreachable):
        await submit(1, 4.9)


@asynchronous
async def test_no_number_of_devices_makes_one_document_faster() -> None:
    async with warm_stage(devices=2, long_seconds=3.0) as stage:
        with pytest.raises(DeadlineUnreachable):
            stage.submit(*range(LONG), timeout=2.9)
        stage.submit(*range(LONG), timeout=3.1)
        await stage.run_all()


@asynchronous
async def test_retry_after_counts_the_devices() -> None:
    async with warm_stage(devices=2, max_items=1, max_queued_items=2) as stage:
        for short in stage.shorts:
            short.before_run = lambda batch: stage.clock.advance(0.5)
        stage.submit(1)
        await stage.run_all()  # one token in half a second: two tokens a second, four on both
        for tokens in (1, 1, 7, 8):
            stage.submit(*[1] * tokens)
            await settle()
        with pytest.raises(QueueFull) as refusal:
            stage.submit(1)
        assert refusal.value.retry_after_seconds == 4.0
        await stage.run_all()


@asynchronous
async def test_a_device_that_dies_takes_its_own_batch_and_the_other_goes_on() -> None:
    async with warm_stage(devices=2, max_items=1) as stage:
        lost, kept, waiting = (stage.submit(token) for token in (1, 2, 3))
        await settle()
        stage.executors[0].die()
        await settle()
        assert isinstance(lost.exception(), NotReady)
        assert stage.scheduler.devices == [DeviceState("device 0", False, False), DeviceState("device 1", True, False)]
        # Only a restart brings the device back, so liveness fails; until then the other one serves.
        assert isinstance(stage.scheduler.fault, NotReady)
        stage.scheduler.ensure_running()
        later = stage.submit(4)
        for _ in range(3):
            await stage.executors[1].run_next()
        assert [future.result().outputs["logits"][0] for future in (kept, waiting, later)] == [2.0, 3.0, 4.0]


@asynchronous
async def test_the_death_of_the_last_device_ends_everything() -> None:
    async with warm_stage(devices=2, max_items=1) as stage:
        futures = [stage.submit(token) for token in (1, 2, 3)]
        await settle()
        for executor in stage.executors:
            executor.die()
            await settle()
        assert all(isinstance(future.exception(), NotReady) for future in futures)
        with pytest.raises(NotReady):
            stage.submit(4)


@asynchronous
async def test_a_device_that_is_lost_in_a_run_is_dead() -> None:
    async with warm_stage(devices=2, max_items=1) as stage:

        def lose(batch: Batch) -> None:
            raise DeviceLost("an illegal memory access was encountered")

        stage.shorts[0].before_run = lose
        lost, kept = stage.submit(1), stage.submit(2)
        await settle()
        with pytest.raises(DeviceLost):  # what ends a thread of a real executor
            stage.executors[0].work.popleft()()
        stage.executors[0].die()
        await stage.run_all()
        assert isinstance(lost.exception(), NotReady)
        assert kept.result().outputs["logits"][0] == 2.0


@asynchronous
async def test_a_stuck_device_gets_nothing_more_and_the_other_serves() -> None:
    async with warm_stage(devices=2, max_items=1) as stage:
        stage.submit(1)
        await settle()
        stage.clock.advance(31.0)
        assert [state.stuck for state in stage.scheduler.devices] == [True, False]
        assert isinstance(stage.scheduler.fault, NotReady)
        served = [stage.submit(token) for token in (2, 3)]
        await settle()
        for _ in served:
            await stage.executors[1].run_next()
        assert all(future.done() for future in served)
        assert len(stage.executors[0].work) == 1
        await stage.executors[0].run_next()
        assert stage.scheduler.fault is None


@asynchronous
async def test_new_work_is_refused_while_every_device_is_stuck() -> None:
    async with warm_stage(devices=2, max_items=1) as stage:
        for token in (1, 2):
            stage.submit(token)
        await settle()
        stage.clock.advance(31.0)
        with pytest.raises(NotReady, match="does not end"):
            stage.submit(3)
        await stage.run_all()
        stage.submit(3)
        await stage.run_all()


@asynchronous
async def test_every_device_is_warmed_and_the_first_is_measured() -> None:
    stage = Stage(devices=2, short_seconds=1.0, long_seconds=2.0)
    await stage.scheduler.start()
    warming = asyncio.create_task(stage.scheduler.warm_up())
    await stage.run_all()
    await warming
    # Runs at less than full speed on both, and on the first another one, which is measured.
    expected = [UNMEASURED_RUNS + 1, UNMEASURED_RUNS]
    assert [len(session.batches) for session in stage.shorts] == expected
    assert [len(session.batches) for session in stage.longs] == expected
    assert stage.cost_model.measurements == {("model", SHORT, 1): [(1, 1.0)], ("model", LONG, 1): [(1, 2.0)]}
    await stage.close()


@asynchronous
async def test_draining_finishes_what_all_devices_have_and_stops_them() -> None:
    stage = Stage(devices=2, max_items=1)
    await stage.warm()
    futures = [stage.submit(token) for token in (1, 2, 3)]
    await settle()
    draining = asyncio.create_task(stage.scheduler.drain(timeout=60))
    await stage.run_all()
    await draining
    assert [future.result().outputs["logits"][0] for future in futures] == [1.0, 2.0, 3.0]
    assert all(executor.stopped for executor in stage.executors)


@asynchronous
async def test_a_second_place_is_filled_while_a_batch_runs_if_more_waits_than_fits() -> None:
    async with warm_stage(places=2, max_items=2) as stage:
        stage.submit(1)
        await settle()
        alone = stage.submit(2)
        await settle()
        assert len(stage.executor.work) == 1, "it waits for more"
        for token in (3, 4):
            stage.submit(token)
        await settle()
        assert len(stage.executor.work) == 2, "a full batch is there already when the first one ends"
        stage.executor.work.popleft()()
        stage.executor.work.popleft()()
        await stage.run_all()
        assert first_column(stage.short) == [[1], [2, 3], [4]]
        assert alone.done()


@asynchronous
async def test_a_batch_in_the_second_place_is_not_stuck_while_the_first_one_runs() -> None:
    async with warm_stage(places=2, max_items=1, short_seconds=5.0) as stage:
        for token in (1, 2, 3):
            stage.submit(token)
        await settle()
        stage.clock.advance(45.0)  # less than ten times what was predicted; the run adds 5 seconds
        await stage.executor.run_next()
        assert stage.scheduler.fault is None
        stage.clock.advance(49.0)
        assert stage.scheduler.fault is None
        stage.clock.advance(2.0)
        assert isinstance(stage.scheduler.fault, NotReady)
        await stage.run_all()


@asynchronous
async def test_what_nobody_waits_for_in_the_second_place_is_not_computed() -> None:
    async with warm_stage(places=2, max_items=1) as stage:
        stage.submit(1)
        gone, stays = stage.submit(2), stage.submit(3)
        await settle()
        assert len(stage.executor.work) == 2
        gone.cancel()
        await stage.run_all()
        assert stage.observer.terminated == [("model", SHORT)]
        assert stays.result().outputs["logits"][0] == 3.0


@asynchronous
async def test_the_age_of_the_oldest_window_of_a_bucket_is_known() -> None:
    async with warm_stage(max_items=1) as stage:
        stage.submit(1)
        await settle()
        assert stage.scheduler.oldest_age("model", SHORT) == 0.0
        stage.submit(2)
        stage.clock.advance(1.5)
        stage.submit(3)
        stage.clock.advance(1.0)
        assert stage.scheduler.oldest_age("model", SHORT) == 2.5
        assert stage.scheduler.oldest_age("model", LONG) == 0.0
        await stage.run_all()
        assert stage.scheduler.oldest_age("model", SHORT) == 0.0
