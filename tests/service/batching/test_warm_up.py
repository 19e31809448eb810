"""What is run and measured before work is accepted, and in which order."""

import asyncio
from collections.abc import Callable, Sequence
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

    def warm(
        self, budget_seconds: float, limits: BatchLimits, probe: MemoryProbe | None = None, devices: int = 1
    ) -> None:
        async def call(function: Callable[[], ResultT]) -> ResultT:
            return function()

        calls = [call] * devices
        warm_up = WarmUp(calls, self.cost_model, limits, self.clock, budget_seconds, probe or NoProbe())
        asyncio.run(warm_up.run(self.buckets))

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
        ("model", 8, 1): [(1, 1.0), (2, 1.5), (4, 2.5)],
        ("model", 16, 1): [(1, 3.0), (2, 4.5)],
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


class RecordingSession(FakeSession):
    """Records sizes up to two, on the executor; a recorded size takes half the time."""

    def __init__(self, device: Device, number: int, log: list[tuple[object, ...]], wrong: bool = False) -> None:
        super().__init__(lambda batch: self._spend(batch))
        self._device = device
        self._number = number
        self._log = log
        self._wrong = wrong
        self._recorded: list[int] = []

    def _spend(self, batch: Batch) -> None:
        items = len(batch.input_ids)
        self._log.append(("run", self._number, items))
        self._device.clock.advance(items * (0.5 if items in self._recorded else 1.0))

    def capture(self, sizes: Sequence[int]) -> Sequence[int]:
        self._log.append(("capture", self._number, *sizes))
        self._recorded = [size for size in sizes if size <= 2]
        return self._recorded

    def drop_wrong_captures(self) -> Sequence[int]:
        self._log.append(("check", self._number))
        self._recorded = [] if self._wrong else self._recorded
        return self._recorded

    def forget_captures(self) -> None:
        self._log.append(("forget", self._number))
        self._recorded = []


def warm_recording(wrong: bool = False) -> tuple[Device, list[tuple[object, ...]]]:
    """Warm one bucket on two devices whose sessions record."""
    device = Device()
    log: list[tuple[object, ...]] = []
    first, second = (RecordingSession(device, number, log, wrong) for number in (0, 1))
    device.buckets = [ServedBucket("model", 8, first, 0, replicas=(second,))]
    device.warm(1e9, BatchLimits(4, 64), devices=2)
    return device, log


def test_sizes_are_recorded_device_by_device_when_all_have_run_and_checked_twice() -> None:
    _, log = warm_recording()
    rest = log[log.index(("capture", 0, 1, 2, 3, 4)) :]
    assert [entry for entry in rest if entry[0] != "run"] == [
        ("capture", 0, 1, 2, 3, 4),
        ("check", 0),
        ("check", 0),
        ("capture", 1, 1, 2, 3, 4),
        ("check", 1),
        ("check", 1),
    ]
    before = log[: log.index(("capture", 0, 1, 2, 3, 4))]
    assert {(number, items) for _, number, items in before} == {(n, size) for n in (0, 1) for size in (1, 2, 4)}
    # Measured again where batches are measured: on the first device.
    assert {entry[1] for entry in rest if entry[0] == "run"} == {0}


def test_what_is_recorded_is_measured_again() -> None:
    device, _ = warm_recording()
    assert device.cost_model.measurements == {("model", 8, 1): [(1, 0.5), (2, 1.0), (4, 4.0)]}


def test_what_was_recorded_wrongly_costs_what_it_did_before() -> None:
    device, _ = warm_recording(wrong=True)
    assert device.cost_model.measurements == {("model", 8, 1): [(1, 1.0), (2, 2.0), (4, 4.0)]}


def test_devices_are_warmed_with_the_same_shapes_as_the_first() -> None:
    device = Device()
    further = [FakeSession(), FakeSession()]
    device.buckets = [
        ServedBucket("model", bucket.length, bucket.session, 0, replicas=(session,))
        for bucket, session in zip(device.buckets, further, strict=True)
    ]
    device.warm(1e9, BatchLimits(4, 32), devices=2)
    shapes = [list(dict.fromkeys(len(batch.input_ids) for batch in session.batches)) for session in further]
    assert shapes == [[1, 2, 4], [1, 2]]


def test_a_size_that_a_further_device_has_no_room_for_is_a_cap_for_all() -> None:
    device = Device()

    def no_room(batch: Batch) -> None:
        if len(batch.input_ids) > 2:
            raise OutOfMemory

    small = FakeSession(no_room)
    device.buckets = [ServedBucket("model", 8, device.buckets[0].session, 0, replicas=(small,))]
    limits = BatchLimits(16, 1024)
    device.warm(1e9, limits, devices=2)
    assert limits.most_items(device.buckets[0]) == 2
