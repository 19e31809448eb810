"""Whatever happens, and in whatever order: each accepted item ends exactly once, and rightly."""

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bigbird_inference.buckets import ServedBucket
from bigbird_inference.errors import (
    DeadlineExceeded,
    DeadlineUnreachable,
    Draining,
    InferenceFailed,
    NotReady,
    QueueFull,
    TextTooLarge,
)
from bigbird_inference.runtime.session import Batch, OutOfMemory, Outputs, RunControl, RunTerminated
from service.batching.admission import QueueLimits
from service.batching.batch_limits import BatchLimits
from service.batching.batch_runner import StuckRule
from service.batching.bucket_queue import InferenceResult, WorkItem
from service.batching.cost_model import CostModel
from service.batching.policy import LeastDelay
from service.batching.scheduler import Scheduler, SchedulerOptions
from tests.fake_model import POISON, FakeSession, sequence
from tests.service.batching.stage import NoProbe
from tests.service.manual_executor import FakeClock, ManualExecutor, settle

LENGTHS = (4, 8, 16)
MODELS = ("alone", "together")  # one whose batches cost the sum of their documents, one whose batches cost one


class Silent:
    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: None


class Machine:
    """What all fake sessions share: the clock and the room in memory."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.room = 100
        self.slowness = 1.0

    def session(self, model: str, length: int) -> FakeSession:
        session = FakeSession()
        compute = session.run

        def run(batch: Batch, control: RunControl | None = None) -> Outputs:
            items = len(batch.input_ids)
            if control is not None and control.terminated:
                raise RunTerminated
            if items > self.room:
                raise OutOfMemory
            self.clock.advance(self.slowness * length / 16 * (items if model == "alone" else 1))
            return compute(batch)

        session.run = run  # type: ignore[method-assign]
        return session


class Schedules(RuleBasedStateMachine):
    """Requests come, run, fail, wait and leave; devices die; in the end the server drains or has lost all devices."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.accepted: list[tuple[WorkItem, asyncio.Future[InferenceResult], list[object]]] = []
        self.ended = False
        self.dead: list[ManualExecutor] = []

    def do(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    @initialize(
        delay=st.sampled_from([0.0, 2.0]),
        patience=st.sampled_from([0.0, 3.0, 100.0]),
        devices=st.sampled_from([1, 2]),
        places=st.sampled_from([1, 2]),
    )
    def start(self, delay: float, patience: float, devices: int, places: int) -> None:
        self.clock, self.executors = FakeClock(), [ManualExecutor() for _ in range(devices)]
        self.machine = Machine(self.clock)
        observer: Any = Silent()
        cost_model, batch_limits = CostModel(self.clock), BatchLimits(max_items=4, max_tokens=40)

        async def warm_up() -> None:
            self.scheduler = Scheduler(
                [
                    ServedBucket(model, length, first, 0, replicas=tuple(others))
                    for model in MODELS
                    for length in LENGTHS
                    for first, *others in [[self.machine.session(model, length) for _ in self.executors]]
                ],
                executors={str(number): executor for number, executor in enumerate(self.executors)},
                policy=LeastDelay(cost_model, batch_limits, delay),
                limits=QueueLimits(max_items=12, max_tokens=100),
                batch_limits=batch_limits,
                cost_model=cost_model,
                observer=observer,
                options=SchedulerOptions(
                    patience, warm_up_seconds=20, stuck_rule=StuckRule(50.0, 500.0), places=places
                ),
                clock=self.clock,
                probe=NoProbe(),
            )
            await self.scheduler.start()
            warming = asyncio.create_task(self.scheduler.warm_up())
            await self.run_all()
            await warming

        self.do(warm_up())

    async def run_all(self) -> None:
        await settle()
        while any(executor.work for executor in self.living):
            for executor in self.living:
                if executor.work:
                    await executor.run_next()

    @property
    def living(self) -> list[ManualExecutor]:
        return [executor for executor in self.executors if executor not in self.dead]

    @rule(
        model=st.sampled_from(MODELS),
        tokens=st.lists(st.integers(1, 16), min_size=1, max_size=4),
        timeout=st.none() | st.floats(0.01, 20),
        poisonous=st.sampled_from([False] * 7 + [True]),
    )
    def request(self, model: str, tokens: list[int], timeout: float | None, poisonous: bool) -> None:
        deadline = None if timeout is None else self.clock.now + timeout
        first = POISON if poisonous else 1
        items = [WorkItem(model, sequence([first, *range(2, count + 1)]), deadline) for count in tokens]

        async def submit() -> None:
            waiting = self.scheduler.waiting_tokens
            try:
                futures = self.scheduler.submit_all(items)
            except (QueueFull, TextTooLarge, DeadlineUnreachable, NotReady) as refusal:
                assert not isinstance(refusal, NotReady) or self.ended or self.scheduler.fault is not None
                assert not isinstance(refusal, DeadlineUnreachable) or timeout is not None
                assert self.scheduler.waiting_tokens == waiting
                return
            assert not self.ended
            for item, future in zip(items, futures, strict=True):
                ends: list[object] = []
                future.add_done_callback(ends.append)
                self.accepted.append((item, future, ends))
            await settle()

        self.do(submit())

    @rule(which=st.integers(0, 1))
    def run(self, which: int) -> None:
        executor = self.executors[which % len(self.executors)]

        async def run() -> None:
            await settle()
            if executor.work:
                await executor.run_next()

        if executor not in self.dead:
            self.do(run())

    @rule(seconds=st.floats(0.1, 4))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        here = [future for _, future, _ in self.accepted if not future.done()]
        if here:
            data.draw(st.sampled_from(here)).cancel()
            if data.draw(st.booleans()):
                self.do(settle())

    @rule(room=st.integers(1, 4), slowness=st.floats(0.2, 5))
    def change_the_device(self, room: int, slowness: float) -> None:
        self.machine.room, self.machine.slowness = room, slowness

    @precondition(lambda self: not self.ended)
    @rule(kind=st.sampled_from(["drain"] * 3 + ["death"]), rare=st.integers(0, 5))
    def end(self, kind: str, rare: int) -> None:
        if rare:
            return
        if kind == "drain":
            self.ended = True
            self.do(self.scheduler.drain(timeout=0))
        else:
            executor = self.living[-1]
            self.dead.append(executor)
            executor.die()
            self.do(settle())
            self.ended = not self.living

    @invariant()
    def nothing_ends_twice_and_no_result_is_wrong(self) -> None:
        for item, future, ends in self.accepted:
            assert len(ends) <= 1
            if future.done() and not future.cancelled() and future.exception() is None:
                assert future.result().outputs["logits"][0] == item.sequence.input_ids.sum()
                assert POISON not in item.sequence.input_ids

    def teardown(self) -> None:
        """In the end everything has ended: what could be finished is, and only poison fails."""
        if not hasattr(self, "scheduler"):
            self.loop.close()
            return

        async def finish() -> None:
            if not self.ended:
                self.machine.room = 100
                draining = asyncio.create_task(self.scheduler.drain(timeout=60))
                await self.run_all()
                await draining
            await self.scheduler.drain(timeout=0)
            await settle()

        self.do(finish())
        self.nothing_ends_twice_and_no_result_is_wrong()
        for item, future, ends in self.accepted:
            assert len(ends) == 1
            if future.cancelled():
                continue
            match future.exception():
                case None | DeadlineExceeded():
                    pass
                case Draining():
                    assert self.ended
                case NotReady():
                    assert self.dead
                case error:
                    assert isinstance(error, InferenceFailed)
                    assert POISON in item.sequence.input_ids
        assert self.scheduler.waiting_tokens == 0
        self.loop.close()


TestSchedules = Schedules.TestCase
TestSchedules.settings = settings(max_examples=200, stateful_step_count=50, deadline=None, derandomize=True)
