"""A requester that goes takes its work with it, wherever that work is."""

from bigbird_inference.buckets import BucketKey
from bigbird_inference.runtime.session import Batch, Outputs, RunControl, RunTerminated
from tests.service.asynchronous import asynchronous
from tests.service.batching.stage import SHORT, Stage, first_column, warm_stage
from tests.service.manual_executor import settle


def end_when_told(stage: Stage) -> list[RunControl]:
    """Let runs of the short bucket take 7 seconds and end as a real session does; return their controls."""
    controls: list[RunControl] = []
    compute = stage.short.run

    def run(batch: Batch, control: RunControl | None = None) -> Outputs:
        assert control is not None
        controls.append(control)
        stage.clock.advance(7.0)
        if control.terminated:
            raise RunTerminated
        return compute(batch)

    stage.short.run = run  # type: ignore[method-assign]
    return controls


@asynchronous
async def test_a_run_that_nobody_waits_for_is_ended_and_the_next_begins() -> None:
    async with warm_stage(short_seconds=1.0) as stage:
        controls = end_when_told(stage)
        gone, gone_too = stage.submit(1), stage.submit(2)
        await settle()
        stays = stage.submit(3)
        gone.cancel()
        gone_too.cancel()
        await settle()
        await stage.executor.run_all()
        assert [control.terminated for control in controls] == [True, False]
        assert stage.observer.terminated == [("model", SHORT)]
        assert stays.result().outputs["logits"][0] == 3.0


@asynchronous
async def test_a_run_goes_on_as_long_as_one_requester_stays() -> None:
    async with warm_stage(max_items=2) as stage:
        controls = end_when_told(stage)
        gone, stays = stage.submit(1), stage.submit(2)
        await settle()
        gone.cancel()
        await settle()
        await stage.executor.run_all()
        assert not controls[0].terminated
        assert stays.result().outputs["logits"][0] == 2.0
        assert stage.observer.terminated == []


@asynchronous
async def test_the_time_of_an_ended_run_is_not_learned() -> None:
    async with warm_stage(short_seconds=1.0) as stage:
        end_when_told(stage)
        gone = stage.submit(1)
        await settle()
        gone.cancel()
        await settle()
        await stage.executor.run_all()
        assert stage.cost_model.predict(BucketKey("model", SHORT), 1) == 1.0
        assert stage.observer.finished == []


@asynchronous
async def test_the_time_of_a_run_that_was_to_end_but_finished_is_not_learned() -> None:
    async with warm_stage(short_seconds=1.0) as stage:
        stage.short.before_run = lambda batch: stage.clock.advance(7.0)
        gone = stage.submit(1)
        await settle()
        gone.cancel()
        await settle()
        await stage.executor.run_all()
        assert stage.cost_model.predict(BucketKey("model", SHORT), 1) == 1.0


@asynchronous
async def test_what_was_cancelled_in_the_moment_of_the_choice_is_not_run() -> None:
    async with warm_stage(max_items=2) as stage:
        stage.submit(1)
        await settle()
        gone = stage.submit(2)
        stage.submit(3)
        stage.executor.work.popleft()()
        gone.cancel()  # its callback and the end of the run reach the event loop together
        await settle()
        await stage.executor.run_all()
        assert first_column(stage.short) == [[1], [3]]
        assert stage.observer.dropped == [("model", SHORT, "cancelled")]


@asynchronous
async def test_a_drain_that_is_out_of_time_ends_the_run() -> None:
    stage = Stage()
    await stage.warm()
    controls = end_when_told(stage)
    running = stage.submit(1)
    await settle()
    await stage.scheduler.drain(timeout=0)
    await settle()
    stage.executor.work.popleft()()
    assert controls[0].terminated
    assert running.exception() is not None
