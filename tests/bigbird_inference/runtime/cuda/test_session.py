"""The session of a GPU on the CPU provider: what runs as usual, what is recorded, and what is replayed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bigbird_inference.manifest import Tensor
from bigbird_inference.runtime.cuda import session as cuda_session
from bigbird_inference.runtime.cuda.session import CudaSession
from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime
from bigbird_inference.runtime.session import (
    Batch,
    CapturingSession,
    DeviceLost,
    OutOfMemory,
    RunControl,
    RunTerminated,
    Shape,
)
from tests.bigbird_inference.runtime.cuda.model_of_sums import FACTORS, INPUTS, OUTPUTS, batch, bundle_of_sums, logits
from tests.service.manual_executor import FakeClock

ROWS = [[1, 2, 3, 4], [2, 2, 0, 0], [9, 8, 7, 0]]
FACTOR = FACTORS["full", "fused"]


def graph_id(options: onnxruntime.RunOptions) -> int | None:
    try:
        return int(options.get_run_config_entry("gpu_graph_id"))
    except RuntimeError:
        return None


class RecordingGpu:
    """onnxruntime's session as a GPU's behaves: runs are numbered, the third of a new number is recorded, and from then
    on what was recorded is repeated at the recorded addresses.

    Args:
        session: What really computes, on the CPU.
        clock: Advanced by every run.
    """

    def __init__(self, session: onnxruntime.InferenceSession, clock: FakeClock) -> None:
        self._session = session
        self._clock = clock
        self._counts: dict[int, int] = {}
        self.recorded: dict[int, onnxruntime.IOBinding] = {}
        self.runs: list[tuple[int, int, int | None]] = []
        self.released: list[int] = []
        self.ordinary_seconds: Callable[[int], float] = lambda rows: 1.0 + 0.1 * rows
        self.replay_seconds: Callable[[int], float] = lambda rows: 0.5 + 0.1 * rows
        self.before_run: Callable[[int, int, int | None], None] = lambda rows, length, graph_id: None
        self.stale = False

    def get_inputs(self) -> Any:
        return self._session.get_inputs()

    def get_outputs(self) -> Any:
        return self._session.get_outputs()

    def io_binding(self) -> onnxruntime.IOBinding:
        return self._session.io_binding()

    def run(self, names: list[str], feeds: dict[str, np.ndarray], options: onnxruntime.RunOptions) -> Any:
        rows, length = feeds["input_ids"].shape
        self.runs.append((rows, length, graph_id(options)))
        self.before_run(*self.runs[-1])
        self._clock.advance(self.ordinary_seconds(rows))
        return self._session.run(names, feeds, options)

    def run_with_iobinding(self, binding: onnxruntime.IOBinding, options: onnxruntime.RunOptions) -> None:
        number = graph_id(options)
        assert number is not None
        assert number > 0
        rows, length = binding._bound_inputs["input_ids"].shape()
        self.runs.append((rows, length, number))
        self.before_run(*self.runs[-1])
        self._counts[number] = self._counts.get(number, 0) + 1
        if number not in self.recorded:
            self._clock.advance(self.ordinary_seconds(rows))
            if self._counts[number] == 3:
                self.recorded[number] = binding
        else:
            assert binding is self.recorded[number], "a replay does not look at what it is given"
            self._clock.advance(self.replay_seconds(rows))
            if self.stale:
                return
        self._session.run_with_iobinding(binding, options)

    def release_captured_graph(self, number: int) -> None:
        self.released.append(number)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def graph(tmp_path: Path) -> onnxruntime.InferenceSession:
    bundle_of_sums(tmp_path, "fused")
    return onnxruntime.InferenceSession(str(tmp_path / "graph-full-fused.onnx"), providers=["CPUExecutionProvider"])


@pytest.fixture
def gpu(graph: onnxruntime.InferenceSession, clock: FakeClock) -> RecordingGpu:
    return RecordingGpu(graph, clock)


@pytest.fixture
def session(gpu: RecordingGpu, clock: FakeClock) -> CudaSession:
    return on_cpu(gpu, clock)


def on_cpu(graph: Any, clock: FakeClock, captures: bool = True) -> CudaSession:
    return CudaSession(graph, INPUTS, OUTPUTS, captures=captures, device=("cpu", 0), clock=clock)


def shapes(*pairs: tuple[int, int]) -> list[Shape]:
    return [Shape(*pair) for pair in pairs]


@pytest.mark.parametrize(("captures", "number"), [(True, -1), (False, None)], ids=["for recording", "without"])
def test_a_shape_that_is_not_recorded_runs_as_usual(
    gpu: RecordingGpu, clock: FakeClock, captures: bool, number: int | None
) -> None:
    session = on_cpu(gpu, clock, captures)
    for rows in (ROWS, [[5] * 10]):
        np.testing.assert_array_equal(session.run(batch(rows))["logits"], logits(rows, FACTOR))
    assert gpu.runs == [(3, 4, number), (1, 10, number)]


def test_shapes_are_recorded_the_smallest_first_each_after_ordinary_runs(
    gpu: RecordingGpu, session: CudaSession
) -> None:
    assert isinstance(session, CapturingSession)
    assert session.capture(shapes((1, 10), (2, 4), (1, 4))) == shapes((1, 4), (2, 4), (1, 10))
    turns = [run for number, run in enumerate(gpu.runs) if number == 0 or gpu.runs[number - 1] != run]
    assert turns == [(1, 4, -1), (1, 4, 1), (2, 4, -1), (2, 4, 2), (1, 10, -1), (1, 10, 3)]
    # Two that take memory, three that are timed; two ordinary ones under the number, the recording, a replay, and three
    # that are timed.
    assert (gpu.runs.count((1, 4, -1)), gpu.runs.count((1, 4, 1))) == (2 + 3, 4 + 3)


def test_a_batch_of_a_recorded_shape_is_replayed_with_its_own_inputs(gpu: RecordingGpu, session: CudaSession) -> None:
    session.capture(shapes((1, 4), (2, 4), (1, 10)))
    gpu.runs.clear()
    batches = [ROWS[:1], ROWS[1:3], ROWS[2:], [[5] * 10]]
    found = [session.run(batch(rows))["logits"] for rows in batches]
    for rows, array in zip(batches, found, strict=True):
        np.testing.assert_array_equal(array, logits(rows, FACTOR))
    assert gpu.runs == [(1, 4, 1), (2, 4, 2), (1, 4, 1), (1, 10, 3)]


def test_a_batch_between_two_recorded_ones_is_filled_up(gpu: RecordingGpu, session: CudaSession) -> None:
    session.capture(shapes((1, 4), (4, 4)))
    gpu.runs.clear()
    np.testing.assert_array_equal(session.run(batch(ROWS))["logits"], logits(ROWS, FACTOR))
    assert gpu.runs == [(4, 4, 2)]


def test_larger_batches_of_a_length_are_not_tried_once_one_gains_nothing(
    gpu: RecordingGpu, session: CudaSession
) -> None:
    gpu.ordinary_seconds = lambda rows: max(1.0, 0.5 * rows)
    gpu.replay_seconds = lambda rows: 0.5 * rows
    wanted = shapes((1, 4), (2, 4), (3, 4), (1, 10))
    assert session.capture(wanted) == shapes((1, 4), (1, 10))
    assert gpu.released == [2]
    assert not [run for run in gpu.runs if run[0] > 2]


@pytest.mark.parametrize(("seconds", "count"), [(0.97, 1), (0.98, 0)], ids=["3% saved", "2% saved"])
def test_a_recording_must_save_three_percent(
    gpu: RecordingGpu, session: CudaSession, seconds: float, count: int
) -> None:
    gpu.ordinary_seconds = lambda rows: 1.0
    gpu.replay_seconds = lambda rows: seconds - 1e-6
    assert len(session.capture(shapes((1, 4)))) == count


def test_no_more_than_so_many_are_recorded(session: CudaSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_session, "MOST_RECORDINGS", 2)
    assert session.capture(shapes((1, 10), (2, 4), (1, 4))) == shapes((1, 4), (2, 4))


def test_a_session_that_was_not_loaded_for_recording_records_nothing(gpu: RecordingGpu, clock: FakeClock) -> None:
    session = on_cpu(gpu, clock, captures=False)
    assert session.capture(shapes((1, 4))) == []
    assert session.drop_wrong_captures() == []
    assert gpu.runs == []


def test_a_graph_that_takes_positions_is_not_recorded(gpu: RecordingGpu, clock: FakeClock) -> None:
    inputs = [*INPUTS, Tensor("positions", "int64", ["batch", "positions"])]
    session = CudaSession(gpu, inputs, OUTPUTS, captures=True, device=("cpu", 0), clock=clock)  # type: ignore[arg-type]
    assert session.capture(shapes((1, 4))) == []
    assert gpu.runs == []


def test_recordings_that_fail_cost_only_themselves_and_are_told_once(
    gpu: RecordingGpu, session: CudaSession, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(rows: int, length: int, number: int | None) -> None:
        if number != -1 and length in (4, 6):
            raise RuntimeError("CUDA failure 900: operation not permitted when stream is capturing")

    gpu.before_run = refuse
    assert session.capture(shapes((1, 4), (2, 4), (1, 6), (1, 10))) == shapes((1, 10))
    (warning,) = caplog.messages
    assert "1 x 4, 1 x 6; 1 sequences of 4 tokens: CUDA failure 900" in warning
    assert gpu.runs[-1] == (1, 4, -1), "an ordinary run must still work"
    np.testing.assert_array_equal(session.run(batch(ROWS))["logits"], logits(ROWS, FACTOR))


def test_recordings_that_break_ordinary_runs_are_a_failure(gpu: RecordingGpu, session: CudaSession) -> None:
    def break_down(rows: int, length: int, number: int | None) -> None:
        if gpu.runs.count((1, 4, 1)):
            raise RuntimeError("it is broken")

    gpu.before_run = break_down
    with pytest.raises(RuntimeError, match="it is broken"):
        session.capture(shapes((1, 4)))


def test_without_room_the_smaller_recordings_are_kept(gpu: RecordingGpu, session: CudaSession) -> None:
    def no_room(rows: int, length: int, number: int | None) -> None:
        if number == 2:
            raise RuntimeError("Failed to allocate memory for requested buffer of size 4096")

    gpu.before_run = no_room
    assert session.capture(shapes((1, 4), (2, 4), (1, 10))) == shapes((1, 4))
    assert not [run for run in gpu.runs if run[1] == 10]


def test_a_device_that_is_lost_while_recording_is_lost(gpu: RecordingGpu, session: CudaSession) -> None:
    def lose(rows: int, length: int, number: int | None) -> None:
        if number == 1:
            raise RuntimeError("CUDA failure 700: an illegal memory access was encountered ; GPU=0")

    gpu.before_run = lose
    with pytest.raises(DeviceLost):
        session.capture(shapes((1, 4)))


def test_recordings_that_repeat_what_was_computed_stay(gpu: RecordingGpu, session: CudaSession) -> None:
    recorded = session.capture(shapes((1, 4), (2, 4)))
    assert session.drop_wrong_captures() == recorded
    assert gpu.released == []


def test_replays_that_leave_the_outputs_of_the_recording_are_dropped(gpu: RecordingGpu, session: CudaSession) -> None:
    session.capture(shapes((1, 4), (2, 4)))
    gpu.stale = True
    assert session.drop_wrong_captures() == []
    assert gpu.released == [1, 2]


@pytest.mark.parametrize(
    ("factor", "kept"),
    [
        pytest.param(1.001, 1, id="another rounding"),
        pytest.param(1.5, 0, id="something else"),
        pytest.param(np.nan, 0, id="no number"),
    ],
)
def test_replays_may_differ_by_rounding_only(
    gpu: RecordingGpu, session: CudaSession, monkeypatch: pytest.MonkeyPatch, factor: float, kept: int
) -> None:
    session.capture(shapes((2, 4)))
    real = onnxruntime.OrtValue.numpy
    monkeypatch.setattr(onnxruntime.OrtValue, "numpy", lambda value: real(value) * np.float32(factor))
    assert len(session.drop_wrong_captures()) == kept


def test_forgotten_recordings_are_released_and_run_as_usual(gpu: RecordingGpu, session: CudaSession) -> None:
    session.capture(shapes((1, 4), (2, 4)))
    session.forget_captures()
    gpu.runs.clear()
    session.run(batch(ROWS[:1]))
    assert gpu.released == [1, 2]
    assert gpu.runs == [(1, 4, -1)]


def test_numbers_are_never_used_again(gpu: RecordingGpu, session: CudaSession) -> None:
    session.capture(shapes((1, 4)))
    session.forget_captures()
    session.capture(shapes((1, 4)))
    assert sorted(gpu.recorded) == [1, 2]


@pytest.mark.parametrize("recorded", [[], shapes((3, 4))], ids=["an ordinary run", "a replay"])
def test_a_run_whose_end_was_asked_for_gives_nothing(session: CudaSession, recorded: list[Shape]) -> None:
    session.capture(recorded)
    control = RunControl()
    control.terminate()
    with pytest.raises(RunTerminated):
        session.run(batch(ROWS), control)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        pytest.param("CUDA failure 2: out of memory ; GPU=0", OutOfMemory, id="no room on the GPU"),
        pytest.param("CUDA failure 719: unspecified launch failure ; GPU=0", DeviceLost, id="the GPU has failed"),
        pytest.param("indices element out of data bounds", RuntimeError, id="the graph has failed"),
    ],
)
def test_a_replay_that_fails_means_what_its_text_says(
    gpu: RecordingGpu, session: CudaSession, text: str, meaning: type[Exception]
) -> None:
    session.capture(shapes((3, 4)))

    def fail(rows: int, length: int, number: int | None) -> None:
        raise RuntimeError(text)

    gpu.before_run = fail
    with pytest.raises(meaning, match=text):
        session.run(batch(ROWS))


def test_a_batch_without_an_input_is_refused(graph: onnxruntime.InferenceSession, clock: FakeClock) -> None:
    ids = np.array(ROWS, dtype=np.int64)
    missing: Any = None
    with pytest.raises(ValueError, match="takes attention_mask"):
        on_cpu(graph, clock).run(Batch(ids, missing, ids))
