import asyncio

import numpy as np
import pytest

from bigbird_inference.errors import (
    BundleError,
    DeadlineExceeded,
    Draining,
    InferenceFailed,
    NotReady,
    QueueFull,
    TextTooLarge,
)
from service.batching.bucket_queue import WorkItem
from tests.fake_model import sequence
from tests.service.asynchronous import asynchronous
from tests.service.batching.stage import LONG, SHORT, Stage, first_column, warm_stage
from tests.service.manual_executor import settle


@asynchronous
async def test_a_sequence_gets_its_own_logits_and_the_bucket_it_ran_in() -> None:
    async with warm_stage() as stage:
        first, second = stage.submit(1, 2, 3), stage.submit(10, 20)
        await stage.executor.run_all()
        assert first.result().outputs["logits"].tolist() == [6.0, 0.0]
        assert second.result().outputs["logits"].tolist() == [30.0, 0.0]
        assert first.result().bucket == second.result().bucket == SHORT
        assert len(stage.short.batches) == 1


@asynchronous
async def test_a_sequence_longer_than_a_bucket_goes_to_the_next_one() -> None:
    async with warm_stage() as stage:
        edge, beyond = stage.submit(*range(SHORT)), stage.submit(*range(SHORT + 1))
        await stage.executor.run_all()
        assert edge.result().bucket == SHORT
        assert beyond.result().bucket == LONG


@asynchronous
async def test_every_bucket_is_run_at_full_length_before_work_is_accepted() -> None:
    stage = Stage()
    await stage.scheduler.start()
    with pytest.raises(NotReady):
        stage.submit(1)
    warming = asyncio.create_task(stage.scheduler.warm_up())
    await settle()
    await stage.executor.run_next()
    with pytest.raises(NotReady):
        stage.submit(1)
    await stage.executor.run_all()
    await warming
    assert [batch.attention_mask.sum() for batch in stage.short.batches][:3] == [SHORT] * 3
    assert [batch.attention_mask.sum() for batch in stage.long.batches][:3] == [LONG] * 3
    stage.submit(1)
    await stage.close()


@asynchronous
async def test_a_bucket_that_cannot_be_run_fails_the_warm_up_and_nothing_is_accepted() -> None:
    stage = Stage()

    def fail(batch: object) -> None:
        raise RuntimeError("no memory")

    stage.long.before_run = fail
    await stage.scheduler.start()
    warming = asyncio.create_task(stage.scheduler.warm_up())
    await stage.executor.run_all()
    with pytest.raises(BundleError, match="no memory"):
        await warming
    with pytest.raises(NotReady):
        stage.submit(1)
    await stage.close()


@asynchronous
async def test_what_arrives_while_the_executor_is_busy_shares_the_next_batch() -> None:
    async with warm_stage() as stage:
        stage.submit(1)
        await settle()
        for token in (2, 3, 4):
            stage.submit(token)
        await stage.executor.run_all()
        assert first_column(stage.short) == [[1], [2, 3, 4]]


@asynchronous
async def test_a_batch_holds_at_most_the_capped_number_of_items() -> None:
    async with warm_stage(max_items=2) as stage:
        for token in (1, 2, 3):
            stage.submit(token)
        await stage.executor.run_all()
        assert first_column(stage.short) == [[1, 2], [3]]


@asynchronous
async def test_a_batch_holds_at_most_the_capped_padded_tokens_but_always_one_item() -> None:
    async with warm_stage(max_tokens=SHORT * 2) as stage:
        for token in (1, 2, 3):
            stage.submit(token)
        await stage.executor.run_all()
        assert first_column(stage.short) == [[1, 2], [3]]
    async with warm_stage(max_tokens=1) as stage:
        stage.submit(1)
        await stage.executor.run_all()
        assert first_column(stage.short) == [[1]]


@asynchronous
async def test_the_bucket_whose_oldest_item_waited_longest_goes_first() -> None:
    async with warm_stage() as stage:
        blocker = stage.submit(1)
        await settle()
        stage.clock.advance(1)
        long = stage.submit(*range(1, LONG + 1))
        stage.clock.advance(1)
        short = stage.submit(2)
        await stage.executor.run_next()
        assert blocker.done()
        await stage.executor.run_next()
        assert long.done() and not short.done()
        await stage.executor.run_next()
        assert short.done()


@asynchronous
async def test_waiting_and_running_times_are_measured_on_the_schedulers_clock() -> None:
    async with warm_stage() as stage:
        stage.short.before_run = lambda batch: stage.clock.advance(0.25)
        first = stage.submit(1, 2)
        await settle()
        stage.clock.advance(2)
        second = stage.submit(3)
        await stage.executor.run_all()
        assert (first.result().queue_seconds, first.result().inference_seconds) == (2.0, 0.25)
        assert (second.result().queue_seconds, second.result().inference_seconds) == (0.25, 0.25)
        assert [(batch.lengths, batch.queue_seconds, batch.inference_seconds) for batch in stage.observer.finished] == [
            ([2], [2.0], 0.25),
            ([1], [0.25], 0.25),
        ]


@asynchronous
async def test_a_run_that_returns_the_wrong_number_of_rows_fails_its_batch() -> None:
    async with warm_stage() as stage:
        stage.short.run = lambda batch: np.zeros((5, 2), np.float32)  # type: ignore[method-assign]
        future = stage.submit(1)
        await stage.executor.run_all()
        assert isinstance(future.exception(), InferenceFailed)


@asynchronous
async def test_an_item_whose_deadline_passed_while_it_waited_is_not_run() -> None:
    async with warm_stage() as stage:
        stage.submit(1)
        await settle()
        expired, in_time = stage.submit(2, timeout=1.0), stage.submit(3, timeout=5.0)
        stage.clock.advance(1.0)
        await stage.executor.run_all()
        assert isinstance(expired.exception(), DeadlineExceeded)
        assert in_time.result().outputs["logits"].tolist() == [3.0, 0.0]
        assert first_column(stage.short) == [[1], [3]]
        assert stage.observer.dropped == [("model", SHORT, "expired")]


@asynchronous
async def test_an_item_whose_client_is_gone_leaves_the_queue_at_once_and_is_not_run() -> None:
    async with warm_stage() as stage:
        stage.submit(1)
        await settle()
        gone = stage.submit(2)
        assert stage.scheduler.waiting_items("model", SHORT) == 1
        gone.cancel()
        await settle()
        assert stage.scheduler.waiting_items("model", SHORT) == 0
        await stage.executor.run_all()
        assert first_column(stage.short) == [[1]]
        assert stage.observer.dropped == [("model", SHORT, "cancelled")]


@asynchronous
async def test_a_client_that_leaves_during_the_run_does_not_disturb_its_batch() -> None:
    async with warm_stage() as stage:
        gone, stays = stage.submit(1), stage.submit(2)
        await settle()
        gone.cancel()
        await stage.executor.run_all()
        assert gone.cancelled()
        assert stays.result().outputs["logits"].tolist() == [2.0, 0.0]


@asynchronous
async def test_a_full_queue_refuses_until_there_is_room_again() -> None:
    async with warm_stage(max_queued_items=2) as stage:
        stage.submit(1)
        await settle()
        stage.submit(2)
        stage.submit(3)
        with pytest.raises(QueueFull) as refusal:
            stage.submit(4)
        assert refusal.value.retry_after_seconds == 1.0
        await stage.executor.run_all()
        stage.submit(4)


@asynchronous
async def test_retry_after_is_the_time_that_the_measured_rate_needs_for_what_waits() -> None:
    async with warm_stage(max_queued_items=2, max_items=1) as stage:
        stage.short.before_run = lambda batch: stage.clock.advance(0.5)
        stage.submit(1)
        await stage.executor.run_all()  # one token in half a second: two tokens a second
        stage.submit(1)
        await settle()
        stage.submit(*[1] * 7)
        stage.submit(*[1] * 8)
        with pytest.raises(QueueFull) as refusal:
            stage.submit(1)
        assert refusal.value.retry_after_seconds == 8.0


@asynchronous
async def test_the_windows_of_a_request_are_accepted_together_or_not_at_all() -> None:
    async with warm_stage(max_queued_items=3) as stage:
        stage.submit(1)
        await settle()
        stage.submit(2)
        with pytest.raises(QueueFull):
            stage.scheduler.submit_all([WorkItem("model", sequence([3]))] * 3)
        assert stage.scheduler.waiting_items("model", SHORT) == 1


@asynchronous
async def test_a_request_that_even_an_empty_queue_cannot_hold_is_too_large_rather_than_retried() -> None:
    async with warm_stage(max_queued_items=2) as stage:
        with pytest.raises(TextTooLarge):
            stage.scheduler.submit_all([WorkItem("model", sequence([3]))] * 3)


@asynchronous
async def test_draining_refuses_new_work_and_finishes_accepted_work() -> None:
    stage = Stage()
    await stage.warm()
    running = stage.submit(1)
    await settle()
    waiting = stage.submit(2)
    draining = asyncio.create_task(stage.scheduler.drain(timeout=60))
    await settle()
    with pytest.raises(Draining):
        stage.submit(3)
    assert not draining.done()
    await stage.executor.run_all()
    await draining
    assert running.result().outputs["logits"][0] == 1.0
    assert waiting.result().outputs["logits"][0] == 2.0
    assert stage.executor.stopped


@asynchronous
async def test_what_does_not_finish_within_the_drain_timeout_fails_as_draining() -> None:
    stage = Stage()
    await stage.warm()
    running = stage.submit(1)
    await settle()
    waiting = stage.submit(2)
    await stage.scheduler.drain(timeout=0)
    assert isinstance(running.exception(), Draining)
    assert isinstance(waiting.exception(), Draining)


@asynchronous
async def test_the_executors_death_fails_the_running_and_the_waiting_and_all_that_comes_later() -> None:
    async with warm_stage() as stage:
        running = stage.submit(1)
        await settle()
        waiting = stage.submit(2)
        assert stage.scheduler.fault is None
        stage.executor.die()
        await settle()
        assert isinstance(stage.scheduler.fault, NotReady)
        assert isinstance(running.exception(), NotReady)
        assert isinstance(waiting.exception(), NotReady)
        with pytest.raises(NotReady):
            stage.submit(3)


@asynchronous
async def test_the_executors_death_during_warm_up_ends_the_warm_up() -> None:
    stage = Stage()
    await stage.scheduler.start()
    warming = asyncio.create_task(stage.scheduler.warm_up())
    await settle()
    stage.executor.die()
    with pytest.raises(NotReady):
        await warming
    await stage.close()


@asynchronous
async def test_a_broken_policy_fails_the_waiters_instead_of_leaving_them_behind() -> None:
    async with warm_stage() as stage:

        class Broken:
            def select(self, queues: object, now: float) -> None:
                raise RuntimeError("broken")

        stage.scheduler._dispatcher.policy = Broken()
        future = stage.submit(1)
        await settle()
        assert isinstance(future.exception(), NotReady)
        assert isinstance(stage.scheduler.fault, NotReady)


@asynchronous
async def test_a_further_run_of_an_open_request_is_taken_though_the_queue_is_full() -> None:
    async with warm_stage(max_queued_items=1) as stage:
        with stage.scheduler.open_request():
            first = stage.submit(1)
            await stage.executor.run_all()
            assert first.done()
            running = stage.submit(2)
            await settle()
            waiting = stage.submit(3)
            with pytest.raises(QueueFull):
                stage.submit(4)
            (further,) = stage.scheduler.submit_further([WorkItem("model", sequence([5, 6]))])
            await stage.executor.run_all()
        assert running.done() and waiting.done()
        assert further.result().outputs["logits"][0] == 11.0


@asynchronous
async def test_draining_waits_for_the_further_runs_of_an_open_request() -> None:
    stage = Stage()
    await stage.warm()
    with stage.scheduler.open_request():
        first = stage.submit(1)
        await stage.executor.run_all()
        assert first.done()
        draining = asyncio.create_task(stage.scheduler.drain(timeout=60))
        await settle()
        assert not draining.done()
        with pytest.raises(Draining):
            stage.submit(2)
        (further,) = stage.scheduler.submit_further([WorkItem("model", sequence([5]))])
        await stage.executor.run_all()
        assert further.result().outputs["logits"][0] == 5.0
        assert not draining.done()
    await draining


@asynchronous
async def test_no_further_run_is_taken_once_the_drain_has_timed_out() -> None:
    stage = Stage()
    await stage.warm()
    with stage.scheduler.open_request():
        await stage.scheduler.drain(timeout=0)
        with pytest.raises(Draining):
            stage.scheduler.submit_further([WorkItem("model", sequence([5]))])


@asynchronous
async def test_no_further_run_is_taken_by_a_dead_executor() -> None:
    async with warm_stage() as stage:
        with stage.scheduler.open_request():
            stage.executor.die()
            await settle()
            with pytest.raises(NotReady):
                stage.scheduler.submit_further([WorkItem("model", sequence([5]))])


@asynchronous
async def test_outputs_that_do_not_fit_what_went_in_fail_the_run() -> None:
    async with warm_stage() as stage:
        stage.short.run = lambda batch, control=None: {"logits": np.zeros((7, 2), np.float32)}  # type: ignore[method-assign]
        future = stage.submit(1)
        await stage.executor.run_all()
        assert isinstance(future.exception(), InferenceFailed)


@asynchronous
async def test_a_broken_observer_fails_the_waiters_instead_of_leaving_them_behind() -> None:
    async with warm_stage(max_items=1) as stage:

        def broken(batch: object) -> None:
            raise RuntimeError("broken")

        stage.observer.batch_finished = broken  # type: ignore[method-assign]
        answered, waiting = stage.submit(1), stage.submit(2)
        await stage.executor.run_all()
        assert answered.result().outputs["logits"][0] == 1.0
        assert isinstance(waiting.exception(), NotReady)
        assert isinstance(stage.scheduler.fault, NotReady)
        with pytest.raises(NotReady):
            stage.submit(3)
