"""What is run and measured before work is accepted, and in which order."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pytest

from bigbird_inference.buckets import ServedBucket
from bigbird_inference.errors import BundleError
from bigbird_inference.host_memory import MemoryProbe
from bigbird_inference.runtime.session import Batch, OutOfMemory, Shape
from service.batching.batch_limits import BatchLimits
from service.batching.cost_model import CostModel
from service.batching.warm_up import UNMEASURED_RUNS, WarmUp
from tests.fake_model import FakeSession
from tests.service.batching.stage import NoProbe
from tests.service.manual_executor import FakeClock

ResultT = TypeVar("ResultT")


class Device:
    """Two buckets of one graph, 8 and 16: a sequence takes 1 and 3 seconds, and half of it each further one.

    Other lengths may be given: a run of 12 tokens takes 2 seconds, and so on along the line.
    """

    def __init__(self, takes_positions: bool = False, lengths: Sequence[int] = (8, 16)) -> None:
        self.clock = FakeClock()
        self.shapes: list[tuple[int, int]] = []
        self.batches: list[Batch] = []
        self.largest = 100
        self.memory = 0
        self.cost_model = CostModel(self.clock)
        session = FakeSession(self._run)
        self.buckets = [
            ServedBucket("model", length, session, 0, takes_positions=takes_positions) for length in lengths
        ]

    def _run(self, batch: Batch) -> None:
        items, length = batch.input_ids.shape
        if items > self.largest:
            raise OutOfMemory
        self.batches.append(batch)
        self.shapes.append((length, items))
        self.memory = max(self.memory, 500 + 100 * items * length)
        self.clock.advance((length / 4 - 1) * (0.5 + 0.5 * items))

    def warm_up(
        self, budget_seconds: float, limits: BatchLimits, probe: MemoryProbe | None = None, devices: int = 1
    ) -> WarmUp:
        async def call(function: Callable[[], ResultT]) -> ResultT:
            return function()

        calls = [call] * devices
        return WarmUp(calls, self.cost_model, limits, self.clock, budget_seconds, probe or NoProbe())

    def warm(
        self, budget_seconds: float, limits: BatchLimits, probe: MemoryProbe | None = None, devices: int = 1
    ) -> None:
        asyncio.run(self.warm_up(budget_seconds, limits, probe, devices).run(self.buckets))

    def sizes(self) -> list[tuple[int, int]]:
        """The shapes in the order in which they were first run."""
        return list(dict.fromkeys(self.shapes))


def test_the_longest_bucket_is_warmed_first_even_without_time_to_measure() -> None:
    device = Device()
    device.warm(0, BatchLimits(4, 64))
    assert device.sizes() == [(16, 1), (8, 1)]
    assert device.shapes.count((8, 1)) == UNMEASURED_RUNS + 1


def test_larger_batches_follow_the_cheapest_first_up_to_each_cap() -> None:
    device = Device()
    device.warm(1e9, BatchLimits(4, 32))
    # Predicted: 8x2 takes 2 s, 8x4 4 s (extended from 1 and 2: 2.5 s), 16x2 6 s; 16x4 would be 64 tokens.
    assert device.sizes() == [(16, 1), (8, 1), (8, 2), (8, 4), (16, 2)]
    assert device.cost_model.measurements == {
        ("model", 8, 1): [(1, 1.0), (2, 1.5), (4, 2.5)],
        ("model", 16, 1): [(1, 3.0), (2, 4.5)],
    }


def test_measuring_ends_before_the_time_is_up() -> None:
    device = Device()
    runs, began_at = UNMEASURED_RUNS + 1, device.clock.now
    # One sequence each takes 4 seconds for each of the runs. Then 2 seconds are predicted for two short ones, and they
    # take 1.5; with 2.5 for four of them, time is up.
    device.warm(runs * 7, BatchLimits(4, 64))
    assert device.sizes() == [(16, 1), (8, 1), (8, 2)]
    assert device.clock.now - began_at == runs * 5.5


def test_a_batch_without_room_lowers_the_cap_and_ends_the_buckets_measuring() -> None:
    device = Device()
    device.largest = 3
    limits = BatchLimits(16, 1024)
    device.warm(1e9, limits)
    assert device.sizes() == [(16, 1), (8, 1), (8, 2), (16, 2)]
    assert [limits.most_items(bucket) for bucket in device.buckets] == [2, 2]


def test_out_of_memory_for_one_sequence_fails_the_warm_up() -> None:
    device = Device()
    device.largest = 0
    with pytest.raises(BundleError, match="cannot run 1 x 16 tokens") as refused:
        device.warm(1e9, BatchLimits(16, 1024))
    assert isinstance(refused.value.__cause__, OutOfMemory)


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
    # 100 bytes for each token, so eleven sequences of 8 tokens are 8800.
    assert limits.most_items(device.buckets[0]) == 11


def test_short_batches_that_find_room_in_what_the_longest_took_are_not_taken_for_free() -> None:
    device = Device(lengths=(2, 8, 64))
    limits = BatchLimits(1000, 10_000, max_memory_bytes=6400)
    device.warm(0, limits, Arena(device))
    # 10 bytes for each token, as the longest shows; the runs of 2 tokens took nothing more.
    assert limits.most_items(device.buckets[0]) == 320


@pytest.mark.parametrize("takes_positions", [True, False], ids=["with positions", "without positions"])
def test_warm_up_runs_have_the_inputs_that_the_model_takes(takes_positions: bool) -> None:
    device = Device(takes_positions)
    device.warm(0, BatchLimits(4, 64))
    assert {batch.positions is not None for batch in device.batches} == {takes_positions}
    assert all(batch.positions.shape == (1, 1) for batch in device.batches if batch.positions is not None)


NINE = [64, 128, 320, 512, 640, 960, 1280, 1920, 2560]
FORTY = list(range(64, 2561, 64))


@pytest.mark.parametrize("budget_seconds", [0, 5000, 1e9], ids=["no time", "some time", "any time"])
def test_the_shapes_and_the_time_of_a_start_do_not_grow_with_the_number_of_buckets(budget_seconds: float) -> None:
    few, many = Device(lengths=NINE), Device(lengths=FORTY)
    assert (len(few.buckets), len(many.buckets)) == (9, 40)
    for device in (few, many):
        device.warm(budget_seconds, BatchLimits(32, 8192))
    assert few.shapes == many.shapes
    assert few.clock.now == many.clock.now
    # The longest, each that is at most half as long as the one before it, and the shortest.
    chosen = [2560, 1280, 640, 320, 128, 64]
    assert many.sizes()[:6] == [(length, 1) for length in chosen]
    assert {length for length, _ in many.shapes} == set(chosen)
    # Where there is time, batches of the shortest are measured up to the cap of 32, of the longest up to 8192 / 2560.
    assert max(items for length, items in many.shapes if length == 64) == (1 if budget_seconds == 0 else 32)
    assert max(items for length, items in many.shapes if length == 2560) == (2 if budget_seconds == 1e9 else 1)


def test_each_graph_of_each_model_is_measured_from_its_shortest_to_its_longest_bucket() -> None:
    device = Device(lengths=(8, 12, 16))
    device.buckets += [
        ServedBucket("model", length, device.buckets[0].session, 0, attention="block_sparse") for length in (24, 28, 32)
    ]
    device.buckets += [ServedBucket("other", length, device.buckets[0].session, 0) for length in (20, 36)]
    device.warm(0, BatchLimits(4, 64))
    assert device.sizes() == [(16, 1), (8, 1), (36, 1), (20, 1), (32, 1), (24, 1)]


@pytest.mark.parametrize(
    ("budget_seconds", "between"), [(21, []), (22, [(16, 1)])], ids=["too little time", "enough time"]
)
def test_between_the_ends_of_block_sparse_attention_a_bucket_is_run_when_there_is_time(
    budget_seconds: float, between: list[tuple[int, int]]
) -> None:
    """Two runs of both ends take 16 seconds, and two of the bucket between them 6."""
    device = Device(lengths=(8, 16, 32))
    device.buckets = [replace(bucket, attention="block_sparse") for bucket in device.buckets]
    device.warm(budget_seconds, BatchLimits(1, 64))
    assert device.sizes() == [(32, 1), (8, 1), *between]
    assert device.cost_model.measurements["model", 16, 1] == [(1, 3.0)]  # type: ignore[index]


def test_what_the_known_answer_has_run_is_measured_at_once_unless_it_takes_memory() -> None:
    device = Device(lengths=(4, 8, 16))
    warm_up = device.warm_up(0, BatchLimits(1, 64), Arena(device))
    asyncio.run(warm_up.note_memory())
    for bucket in (device.buckets[0], device.buckets[2]):
        bucket.session.run(padding(bucket.length))
    asked = len(device.shapes)
    asyncio.run(warm_up.run(device.buckets))
    assert device.shapes[asked : asked + 3] == [(16, 1), (8, 1), (8, 1)]

    growing = Device()
    growing.warm(0, BatchLimits(1, 64), Arena(growing))
    assert growing.shapes.count((16, 1)) == UNMEASURED_RUNS + 1


def test_a_graph_of_a_single_bucket_is_measured_there() -> None:
    device = Device(lengths=(16,))
    device.warm(0, BatchLimits(4, 64))
    assert device.cost_model.measurements == {("model", 16, 1): [(1, 3.0)]}


def test_a_bucket_that_is_not_run_lies_on_the_line_between_its_measured_neighbours() -> None:
    device = Device(lengths=(8, 10, 14, 16))
    device.warm(1e9, BatchLimits(2, 64))
    assert {length for length, _ in device.shapes} == {8, 16}
    # Of the way from 1 to 3 seconds a quarter and three quarters, and from 1.5 to 4.5 for two sequences.
    assert device.cost_model.measurements == {
        ("model", 8, 1): [(1, 1.0), (2, 1.5)],
        ("model", 10, 1): [(1, 1.5), (2, 2.25)],
        ("model", 14, 1): [(1, 2.5), (2, 3.75)],
        ("model", 16, 1): [(1, 3.0), (2, 4.5)],
    }


def test_a_prediction_is_not_below_what_a_run_takes_where_attention_grows_faster_than_the_length() -> None:
    """A run of 2 tokens takes 4 seconds, one of 8 takes 64."""
    device = Device()

    def square(batch: Batch) -> None:
        device.clock.advance(batch.input_ids.shape[1] ** 2)

    session = FakeSession(square)
    device.buckets = [ServedBucket("model", length, session, 0) for length in (2, 5, 7, 8)]
    device.warm(0, BatchLimits(1, 64))
    # Measured: 8 and 2. From 4 to 64 seconds, half of the way and five sixths.
    assert {key.length: points for key, points in device.cost_model.measurements.items()} == {
        2: [(1, 4.0)],
        5: [(1, 34.0)],  # really 25
        7: [(1, 54.0)],  # really 49
        8: [(1, 64.0)],
    }


def test_a_size_that_only_the_longer_neighbour_was_measured_with_is_in_proportion_to_the_length() -> None:
    device = Device(lengths=(8, 12, 16))
    session = device.buckets[0].session
    device.buckets[0] = ServedBucket("model", 8, session, 0, max_items=1)
    device.warm(1e9, BatchLimits(2, 64))
    # 4.5 seconds for two sequences of 16 tokens; of 12 tokens, three quarters of it.
    assert device.cost_model.measurements["model", 12, 1] == [(1, 2.0), (2, 3.375)]  # type: ignore[index]


class Arena(MemoryProbe):
    """Ten bytes for each token of the largest run, which are kept after it."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def anonymous_bytes(self) -> int | None:
        return self.peak_bytes()

    def peak_bytes(self) -> int | None:
        return max((10 * length * items for length, items in self._device.shapes), default=0)


def test_memory_of_a_bucket_that_is_not_run_is_in_proportion_to_that_of_the_next_longer_one() -> None:
    device = Device(lengths=(8, 10, 14, 16))
    limits = BatchLimits(2, 64)
    device.warm(1e9, limits, Arena(device))
    # The longest takes 160 bytes for a sequence and 320 for two.
    by_length = {bucket.length: [limits.memory_of(bucket, items) for items in (1, 2)] for bucket in device.buckets}
    assert by_length[16] == [160, 320]
    assert by_length[10] == [100, 200]
    assert by_length[14] == [140, 280]


def test_memory_that_was_taken_between_loading_and_warming_counts() -> None:
    """The known answer is asked there, in the longest bucket too."""
    device = Device()
    limits = BatchLimits(1, 64)
    warm_up = device.warm_up(0, limits, Arena(device))
    asyncio.run(warm_up.note_memory())
    device.buckets[1].session.run(padding(16))
    asyncio.run(warm_up.run(device.buckets))
    assert limits.memory_of(device.buckets[1], 1) == 160


def padding(length: int) -> Batch:
    ids = np.zeros((1, length), dtype=np.int64)
    return Batch(ids, ids, ids)


def test_what_is_not_known_of_memory_is_not_predicted_either() -> None:
    device = Device(lengths=(8, 12, 16))
    limits = BatchLimits(2, 64, max_memory_bytes=1)
    device.warm(1e9, limits)
    assert [limits.memory_of(bucket, 1) for bucket in device.buckets] == [None, None, None]


class RecordingSession(FakeSession):
    """Records batches up to two sequences, on the executor; a recorded shape takes half the time.

    A sequence of 8 tokens takes a second, one of 16 takes two.
    """

    def __init__(self, device: Device, number: int, log: list[tuple[object, ...]], wrong: bool = False) -> None:
        super().__init__(lambda batch: self._spend(batch))
        self._device = device
        self._number = number
        self._log = log
        self._wrong = wrong
        self._recorded: list[Shape] = []

    def _spend(self, batch: Batch) -> None:
        shape = Shape(*batch.input_ids.shape)
        self._log.append(("run", self._number, *shape))
        seconds = shape.rows * shape.length / 8
        self._device.clock.advance(seconds / 2 if shape in self._recorded else seconds)

    def capture(self, shapes: Sequence[Shape]) -> Sequence[Shape]:
        self._log.append(("capture", self._number, *sorted(shapes)))
        self._recorded = [shape for shape in shapes if shape.rows <= 2]
        return self._recorded

    def drop_wrong_captures(self) -> Sequence[Shape]:
        self._log.append(("check", self._number))
        self._recorded = [] if self._wrong else self._recorded
        return self._recorded


def warm_recording(wrong: bool = False) -> tuple[Device, list[tuple[object, ...]]]:
    """Warm both buckets on two devices whose sessions record; 16 may have two sequences, 8 four."""
    device = Device()
    log: list[tuple[object, ...]] = []
    first, second = (RecordingSession(device, number, log, wrong) for number in (0, 1))
    device.buckets = [ServedBucket("model", length, first, 0, replicas=(second,)) for length in (8, 16)]
    device.warm(1e9, BatchLimits(4, 32), devices=2)
    return device, log


def test_a_session_is_asked_once_for_recordings_of_all_its_shapes_when_all_have_run_and_checked_twice() -> None:
    _, log = warm_recording()
    shapes = [(1, 8), (1, 16), (2, 8), (2, 16), (3, 8), (4, 8)]
    begin = log.index(("capture", 0, *shapes))
    rest = log[begin:]
    assert [entry for entry in rest if entry[0] != "run"] == [
        ("capture", 0, *shapes),
        ("check", 0),
        ("check", 0),
        ("capture", 1, *shapes),
        ("check", 1),
        ("check", 1),
    ]
    measured = [(1, 8), (1, 16), (2, 8), (2, 16), (4, 8)]
    assert {entry[1:] for entry in log[:begin]} == {(number, *shape) for number in (0, 1) for shape in measured}
    # Measured again where batches are measured: on the first device.
    assert {entry[1:] for entry in rest if entry[0] == "run"} == {(0, *shape) for shape in measured}


def test_what_is_recorded_is_measured_again() -> None:
    device, _ = warm_recording()
    assert device.cost_model.measurements == {
        ("model", 8, 1): [(1, 0.5), (2, 1.0), (4, 4.0)],
        ("model", 16, 1): [(1, 1.0), (2, 2.0)],
    }


def test_what_was_recorded_wrongly_costs_what_it_did_before() -> None:
    device, _ = warm_recording(wrong=True)
    assert device.cost_model.measurements == {
        ("model", 8, 1): [(1, 1.0), (2, 2.0), (4, 4.0)],
        ("model", 16, 1): [(1, 2.0), (2, 4.0)],
    }


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


def test_out_of_memory_of_any_device_caps_all() -> None:
    device = Device()

    def no_room(batch: Batch) -> None:
        if len(batch.input_ids) > 2:
            raise OutOfMemory

    small = FakeSession(no_room)
    device.buckets = [ServedBucket("model", 8, device.buckets[0].session, 0, replicas=(small,))]
    limits = BatchLimits(16, 1024)
    device.warm(1e9, limits, devices=2)
    assert limits.most_items(device.buckets[0]) == 2
