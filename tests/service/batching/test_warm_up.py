"""What is run and measured before work is accepted, and in which order."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest

from service.batching.batch_limits import BatchLimits
from service.batching.buckets import ServedBucket
from service.batching.cost_model import CostModel
from service.batching.resident_memory import MemoryProbe
from service.batching.warm_up import UNMEASURED_RUNS, WarmUp
from service.runtime.session import Batch, OutOfMemory
from tests.service.batching.stage import NoProbe
from tests.service.fake_model import FakeSession
from tests.service.manual_executor import FakeClock

ResultT = TypeVar("ResultT")


class Device:
    """Two buckets, 8 and 16, whose runs take 1 and 3 seconds for a sequence and half of it for each further one."""

    def __init__(self, takes_positions: bool = False) -> None:
        self.clock = FakeClock()
        self.shapes: list[tuple[int, int]] = []
        self.batches: list[Batch] = []
        self.largest = 100
        self.memory = 0
        self.cost_model = CostModel(self.clock)
        self.buckets = [
            ServedBucket("model", length, FakeSession(self._run), 0, takes_positions=takes_positions)
            for length in (8, 16)
        ]

    def _run(self, batch: Batch) -> None:
        items, length = batch.input_ids.shape
        if items > self.largest:
            raise OutOfMemory
        self.batches.append(batch)
        self.shapes.append((length, items))
        self.memory = max(self.memory, 1000 * items)
        self.clock.advance((1 if length == 8 else 3) * (0.5 + 0.5 * items))

    def warm(self, budget_seconds: float, limits: BatchLimits, probe: MemoryProbe | None = None) -> None:
        async def call(function: Callable[[], ResultT]) -> ResultT:
            return function()

        warm_up = WarmUp(self.buckets, call, self.cost_model, limits, self.clock, budget_seconds, probe or NoProbe())
        asyncio.run(warm_up.run())

    def sizes(self) -> list[tuple[int, int]]:
        """The shapes in the order in which they were first run."""
        return list(dict.fromkeys(self.shapes))


def test_every_bucket_is_warmed_even_without_time_to_measure() -> None:
    device = Device()
    device.warm(0, BatchLimits(4, 64))
    assert device.sizes() == [(8, 1), (16, 1)]
    assert device.shapes.count((8, 1)) == UNMEASURED_RUNS + 1


def test_larger_batches_follow_the_cheapest_first_up_to_each_cap() -> None:
    device = Device()
    device.warm(1e9, BatchLimits(4, 32))
    # Predicted: 8x2 takes 2 s, 8x4 4 s (extended from 1 and 2: 2.5 s), 16x2 6 s; 16x4 would be 64 tokens.
    assert device.sizes() == [(8, 1), (16, 1), (8, 2), (8, 4), (16, 2)]
    assert device.cost_model.measurements == {
        ("model", 8): [(1, 1.0), (2, 1.5), (4, 2.5)],
        ("model", 16): [(1, 3.0), (2, 4.5)],
    }


def test_measuring_ends_before_the_time_is_up() -> None:
    device = Device()
    # 12 seconds for one sequence each, 3 runs; then 3 x 2 s are predicted for two short ones and fit; the next do not.
    device.warm(19, BatchLimits(4, 64))
    assert device.sizes() == [(8, 1), (16, 1), (8, 2)]


def test_a_batch_without_room_lowers_the_cap_and_ends_the_buckets_measuring() -> None:
    device = Device()
    device.largest = 3
    limits = BatchLimits(16, 1024)
    device.warm(1e9, limits)
    assert device.sizes() == [(8, 1), (16, 1), (8, 2), (16, 2)]
    assert [limits.most_items(bucket) for bucket in device.buckets] == [2, 2]


def test_a_bucket_without_room_for_one_sequence_fails_the_warm_up() -> None:
    device = Device()
    device.largest = 0
    with pytest.raises(OutOfMemory):
        device.warm(1e9, BatchLimits(16, 1024))


def test_memory_is_the_rise_from_before_the_first_run() -> None:
    device = Device()

    class Probe(MemoryProbe):
        def anonymous_bytes(self) -> int | None:
            device.memory = 500
            return 500

        def peak_bytes(self) -> int | None:
            return device.memory

    limits = BatchLimits(64, 10_000, max_memory_bytes=9500)
    device.warm(50, limits, Probe())
    # 500 bytes for one sequence and 1000 for each further one, so ten are 9500.
    assert limits.most_items(device.buckets[0]) == 10


@pytest.mark.parametrize("takes_positions", [True, False], ids=["with positions", "without positions"])
def test_warm_up_runs_have_the_inputs_that_the_model_takes(takes_positions: bool) -> None:
    device = Device(takes_positions)
    device.warm(0, BatchLimits(4, 64))
    assert {batch.positions is not None for batch in device.batches} == {takes_positions}
    assert all(batch.positions.shape == (1, 1) for batch in device.batches if batch.positions is not None)
