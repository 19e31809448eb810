"""Deadlines: refused when out of reach, served in their order, dropped when missed."""

import pytest

from bigbird_inference.errors import DeadlineExceeded, DeadlineUnreachable
from service.batching.bucket_queue import WorkItem
from tests.fake_model import sequence
from tests.service.asynchronous import asynchronous
from tests.service.batching.stage import LONG, SHORT, first_column, warm_stage
from tests.service.manual_executor import settle


@asynchronous
async def test_a_request_whose_own_run_takes_too_long_is_refused_at_once() -> None:
    async with warm_stage(short_seconds=1.0) as stage:
        with pytest.raises(DeadlineUnreachable) as refusal:
            stage.submit(1, timeout=0.9)
        assert (refusal.value.status, refusal.value.code) == (504, "deadline_unreachable")
        assert "take 1.00 s, and it has 0.90 s" in refusal.value.detail
        await settle()
        assert not stage.executor.work
        stage.submit(1, timeout=1.1)


@asynchronous
async def test_the_rest_of_the_run_and_the_work_that_is_due_earlier_count() -> None:
    async with warm_stage(short_seconds=1.0, long_seconds=4.0) as stage:
        stage.submit(1)
        await settle()
        stage.clock.advance(0.25)
        stage.submit(*range(1, LONG + 1), timeout=8.0)
        stage.submit(2, timeout=8.0)
        # 0.75 s of the run, 4 s for the long document and 1 s for the short one, and 1 s of its own.
        with pytest.raises(DeadlineUnreachable, match=r"take 6\.75 s"):
            stage.submit(3, timeout=6.7)
        stage.submit(3, timeout=6.8)


@asynchronous
async def test_work_that_is_due_later_does_not_count() -> None:
    async with warm_stage(short_seconds=1.0, long_seconds=4.0, patience_seconds=60) as stage:
        stage.submit(1)
        await settle()
        for _ in range(3):
            stage.submit(*range(1, LONG + 1), timeout=100.0)
        urgent = stage.submit(2, timeout=2.5)
        await stage.executor.run_all()
        assert urgent.result().queue_seconds == 1.0


@asynchronous
async def test_all_windows_of_a_request_must_make_it() -> None:
    async with warm_stage(short_seconds=1.0) as stage:
        deadline = stage.clock.now + 2.5
        with pytest.raises(DeadlineUnreachable):
            stage.scheduler.submit_all([WorkItem("model", sequence([token]), deadline) for token in (1, 2, 3)])
        assert stage.scheduler.waiting_items("model", SHORT) == 0
        stage.scheduler.submit_all([WorkItem("model", sequence([token]), deadline) for token in (1, 2)])


@asynchronous
async def test_the_earlier_deadline_goes_first_though_it_came_later() -> None:
    async with warm_stage(short_seconds=1.0) as stage:
        stage.submit(1)
        await settle()
        for token, timeout in ((2, 9.0), (3, 5.0), (4, 4.0)):
            stage.submit(token, timeout=timeout)
        stage.submit(5)
        await stage.executor.run_all()
        # The patience of the first two and of the one without a deadline ends before 9 s are over.
        assert first_column(stage.short) == [[1], [4], [3], [2], [5]]


@asynchronous
async def test_every_deadline_of_an_accepted_request_is_met_when_runs_take_what_was_predicted() -> None:
    async with warm_stage(short_seconds=1.0, long_seconds=4.0) as stage:
        stage.submit(1)
        await settle()
        futures = [
            stage.submit(*[token] * length, timeout=timeout)
            for token, length, timeout in ((2, LONG, 20.0), (3, SHORT, 12.0), (4, LONG, 10.0), (5, SHORT, 4.0))
        ]
        start = stage.clock.now
        await stage.executor.run_all()
        for future, timeout in zip(futures, (20.0, 12.0, 10.0, 4.0), strict=True):
            assert future.result().queue_seconds + future.result().inference_seconds <= timeout
        assert stage.clock.now == start + 11.0


@asynchronous
async def test_what_has_become_unreachable_while_it_waited_is_dropped_without_a_run() -> None:
    async with warm_stage(short_seconds=1.0) as stage:
        stage.submit(1)
        await settle()
        late = stage.submit(2, timeout=3.0)
        stage.clock.advance(1.5)  # the run takes longer than predicted
        await stage.executor.run_all()
        assert isinstance(late.exception(), DeadlineExceeded)
        assert late.exception().code == "deadline_exceeded"  # type: ignore[union-attr]
        assert stage.observer.dropped == [("model", SHORT, "unreachable")]
        assert first_column(stage.short) == [[1]]


@asynchronous
async def test_a_prediction_that_was_wrong_once_does_not_refuse_for_ever() -> None:
    async with warm_stage(short_seconds=1.0) as stage:
        stage.submit(1)
        await settle()
        stage.short.before_run = lambda batch: stage.clock.advance(400.0)
        await stage.executor.run_all()
        with pytest.raises(DeadlineUnreachable):
            stage.submit(1, timeout=1.1)
        stage.clock.advance(300)
        stage.submit(1, timeout=1.1)
