"""The session of a GPU on the CPU provider and the host's memory: what is bound, copied, recorded and replayed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from service.bundle import Tensor
from service.runtime.cuda.session import CudaSession
from service.runtime.cuda.staging import Staging
from service.runtime.session import Batch, CapturingSession, DeviceLost, OutOfMemory, RunControl, RunTerminated
from tests.service.manual_executor import FakeClock
from tests.service.runtime.cuda.host_memory import HostMemory
from tests.service.runtime.cuda.weighted_bundle import LONG, batch, expected, weighted_bundle, weighted_manifest

ROWS = [[1, 2, 3, 4, 5, 6, 7, 8], [2, 2, 2, 2, 0, 0, 0, 0], [9, 8, 7, 0, 0, 0, 0, 0]]


class RecordingGpu:
    """onnxruntime's session as a GPU's behaves: runs are numbered, the third of a new number is recorded, and from then
    on what was recorded is repeated at the recorded addresses.

    Args:
        session: What really computes, on the CPU.
        clock: Advanced by every run.
        ordinary_seconds: Of a run by its rows.
        replay_seconds: Of a replay by its rows.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        clock: FakeClock,
        ordinary_seconds: Callable[[int], float] = lambda rows: 1.0 + 0.1 * rows,
        replay_seconds: Callable[[int], float] = lambda rows: 0.5 + 0.1 * rows,
    ) -> None:
        self._session = session
        self._clock = clock
        self._ordinary_seconds = ordinary_seconds
        self._replay_seconds = replay_seconds
        self._counts: dict[int, int] = {}
        self.recorded: dict[int, onnxruntime.IOBinding] = {}
        self.runs: list[tuple[int, int]] = []
        self.released: list[int] = []
        self.before_run: Callable[[int, int], None] = lambda rows, graph_id: None

    def io_binding(self) -> onnxruntime.IOBinding:
        return self._session.io_binding()

    def run_with_iobinding(self, binding: onnxruntime.IOBinding, options: onnxruntime.RunOptions) -> None:
        rows = binding.get_outputs()[0].shape()[0]
        graph_id = int(options.get_run_config_entry("gpu_graph_id"))
        self.runs.append((rows, graph_id))
        self.before_run(rows, graph_id)
        if graph_id in self.recorded:
            assert binding is self.recorded[graph_id], "a replay does not look at what it is given"
            self._clock.advance(self._replay_seconds(rows))
        else:
            self._clock.advance(self._ordinary_seconds(rows))
        self._session.run_with_iobinding(binding, options)
        if graph_id >= 0:
            self._counts[graph_id] = self._counts.get(graph_id, 0) + 1
            if self._counts[graph_id] == 3:
                self.recorded[graph_id] = binding

    def release_captured_graph(self, graph_id: int) -> None:
        self.released.append(graph_id)


@pytest.fixture
def graph(tmp_path: Path) -> onnxruntime.InferenceSession:
    weighted_bundle(tmp_path)
    return onnxruntime.InferenceSession(str(tmp_path / "graph-8.onnx"), providers=["CPUExecutionProvider"])


def cuda_session(
    session: Any, memory: HostMemory | None = None, *, captures: bool = False, clock: FakeClock | None = None
) -> CudaSession:
    manifest = weighted_manifest()
    return CudaSession(
        session,
        LONG,
        manifest.inputs,
        manifest.outputs,
        Staging(memory or HostMemory()),
        most_rows=4,
        captures=captures,
        clock=clock or FakeClock(),
    )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_outputs_are_those_of_the_graph(graph: onnxruntime.InferenceSession, rows: int) -> None:
    outputs = cuda_session(graph).run(batch(ROWS[:rows]))
    assert outputs["logits"].dtype == np.float32
    np.testing.assert_allclose(outputs["logits"], expected(ROWS[:rows]), rtol=1e-5)


def test_outputs_are_not_overwritten_by_later_runs(graph: onnxruntime.InferenceSession) -> None:
    session = cuda_session(graph)
    first = session.run(batch(ROWS[:1]))
    session.run(batch(ROWS[1:2]))
    np.testing.assert_allclose(first["logits"], expected(ROWS[:1]), rtol=1e-5)


def test_all_shapes_of_all_sessions_of_a_device_use_the_same_places(graph: onnxruntime.InferenceSession) -> None:
    memory = HostMemory()
    staging = Staging(memory)
    manifest = weighted_manifest()
    sessions = [
        CudaSession(graph, LONG, manifest.inputs, manifest.outputs, staging, most_rows=4, captures=False)
        for _ in range(2)
    ]
    for rows in (1, 3, 2, 1, 3):
        for session in sessions:
            np.testing.assert_allclose(session.run(batch(ROWS[:rows]))["logits"], expected(ROWS[:rows]), rtol=1e-5)
    # Two inputs of four rows of eight int64, one output of four rows of three floats.
    assert [block.nbytes for block in memory.blocks] == [4 * 8 * 8, 4 * 8 * 8, 4 * 3 * 4]


def test_every_run_is_on_its_device(graph: onnxruntime.InferenceSession) -> None:
    memory = HostMemory()
    session = cuda_session(graph, memory)
    session.run(batch(ROWS))
    session.run(batch(ROWS))
    assert memory.uses == 2


def test_sizes_are_recorded_one_after_the_other_each_after_ordinary_runs(
    graph: onnxruntime.InferenceSession, clock: FakeClock
) -> None:
    gpu = RecordingGpu(graph, clock)
    session = cuda_session(gpu, captures=True, clock=clock)
    assert isinstance(session, CapturingSession)
    assert session.capture([2, 1]) == [1, 2]
    by_shape = [run for number, run in enumerate(gpu.runs) if number == 0 or gpu.runs[number - 1] != run]
    assert by_shape == [(1, -1), (1, 1), (2, -1), (2, 2), (1, -1)]
    # Two that fault memory in, three that are timed; two ordinary ones under the number, the recording, a replay, and
    # three that are timed.
    assert (gpu.runs.count((1, -1)), gpu.runs.count((1, 1))) == (2 + 3 + 1, 4 + 3)
    assert sorted(gpu.recorded) == [1, 2]


def test_a_batch_of_a_recorded_size_is_replayed_with_its_own_inputs(
    graph: onnxruntime.InferenceSession, clock: FakeClock
) -> None:
    gpu = RecordingGpu(graph, clock)
    session = cuda_session(gpu, captures=True, clock=clock)
    session.capture([1, 2])
    gpu.runs.clear()
    for rows in (1, 2, 1):
        np.testing.assert_allclose(session.run(batch(ROWS[:rows]))["logits"], expected(ROWS[:rows]), rtol=1e-5)
    assert gpu.runs == [(1, 1), (2, 2), (1, 1)]


def test_a_batch_between_two_sizes_is_filled_up_with_copies_of_its_last_row(
    graph: onnxruntime.InferenceSession, clock: FakeClock
) -> None:
    gpu = RecordingGpu(graph, clock)
    memory = HostMemory()
    session = cuda_session(gpu, memory, captures=True, clock=clock)
    session.capture([1, 4])
    gpu.runs.clear()
    outputs = session.run(batch(ROWS[:3]))
    assert gpu.runs == [(4, 2)]
    np.testing.assert_allclose(outputs["logits"], expected(ROWS[:3]), rtol=1e-5)
    assert memory.blocks[0].view(np.int64).reshape(4, 8).tolist() == [*ROWS, ROWS[2]]


def test_a_size_that_was_not_recorded_runs_as_it_is(graph: onnxruntime.InferenceSession, clock: FakeClock) -> None:
    gpu = RecordingGpu(graph, clock)
    session = cuda_session(gpu, captures=True, clock=clock)
    session.capture([1])
    gpu.runs.clear()
    session.run(batch(ROWS))
    assert gpu.runs == [(3, -1)]


def test_recording_ends_at_the_size_that_gains_nothing(graph: onnxruntime.InferenceSession, clock: FakeClock) -> None:
    gpu = RecordingGpu(
        graph, clock, ordinary_seconds=lambda rows: max(1.0, 0.5 * rows), replay_seconds=lambda rows: 0.5 * rows
    )
    session = cuda_session(gpu, captures=True, clock=clock)
    assert session.capture([1, 2, 3, 4]) == [1]
    assert gpu.released == [2]
    assert not any(rows > 2 for rows, _ in gpu.runs)


def test_a_session_that_was_not_loaded_for_recording_records_nothing(graph: onnxruntime.InferenceSession) -> None:
    session = cuda_session(graph, captures=False)
    assert session.capture([1, 2]) == []
    assert session.drop_wrong_captures() == []


def test_a_recording_that_fails_leaves_ordinary_runs(graph: onnxruntime.InferenceSession, clock: FakeClock) -> None:
    gpu = RecordingGpu(graph, clock)

    def refuse(rows: int, graph_id: int) -> None:
        if graph_id == 2:
            raise RuntimeError("CUDA failure 900: operation not permitted when stream is capturing")

    gpu.before_run = refuse
    session = cuda_session(gpu, captures=True, clock=clock)
    assert session.capture([1, 2]) == []
    assert gpu.released == [1]
    np.testing.assert_allclose(session.run(batch(ROWS))["logits"], expected(ROWS), rtol=1e-5)


def test_a_recording_without_room_keeps_the_smaller_ones(graph: onnxruntime.InferenceSession, clock: FakeClock) -> None:
    gpu = RecordingGpu(graph, clock)

    def no_room(rows: int, graph_id: int) -> None:
        if rows == 2:
            raise RuntimeError("Failed to allocate memory for requested buffer of size 4096")

    gpu.before_run = no_room
    assert cuda_session(gpu, captures=True, clock=clock).capture([1, 2, 3]) == [1]


def test_a_device_that_is_lost_while_recording_is_lost(graph: onnxruntime.InferenceSession, clock: FakeClock) -> None:
    gpu = RecordingGpu(graph, clock)

    def lose(rows: int, graph_id: int) -> None:
        raise RuntimeError("CUDA failure 700: an illegal memory access was encountered ; GPU=0")

    gpu.before_run = lose
    with pytest.raises(DeviceLost):
        cuda_session(gpu, captures=True, clock=clock).capture([1])


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        pytest.param(1.0, [1, 2], id="the same"),
        pytest.param(1.001, [1, 2], id="another rounding"),
        pytest.param(1.5, [], id="something else"),
        pytest.param(np.nan, [], id="no number"),
    ],
)
def test_recordings_that_do_not_repeat_what_was_computed_are_dropped(
    graph: onnxruntime.InferenceSession, clock: FakeClock, value: float, kept: list[int]
) -> None:
    gpu = RecordingGpu(graph, clock)
    memory = HostMemory()
    session = cuda_session(gpu, memory, captures=True, clock=clock)
    session.capture([1, 2])
    real = memory.copy_out

    def spoilt(address: int, array: np.ndarray) -> None:
        real(address, array)
        array *= value

    memory.copy_out = spoilt  # type: ignore[method-assign]
    assert session.drop_wrong_captures() == kept
    assert sorted(gpu.released) == ([] if kept else [1, 2])


def test_a_run_whose_end_was_asked_for_does_not_begin(graph: onnxruntime.InferenceSession, clock: FakeClock) -> None:
    gpu = RecordingGpu(graph, clock)
    control = RunControl()
    control.terminate()
    with pytest.raises(RunTerminated):
        cuda_session(gpu, captures=True, clock=clock).run(batch(ROWS), control)
    assert gpu.runs == []


def test_a_running_run_hears_that_its_end_is_asked_for(graph: onnxruntime.InferenceSession, clock: FakeClock) -> None:
    class Gpu(RecordingGpu):
        def run_with_iobinding(self, binding: Any, options: Any) -> None:
            control.terminate()
            assert options.terminate
            raise RuntimeError("Exiting due to terminate flag being set to true.")

    control = RunControl()
    with pytest.raises(RunTerminated):
        cuda_session(Gpu(graph, clock)).run(batch(ROWS), control)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        pytest.param("Failed to allocate memory for requested buffer", OutOfMemory, id="no room in the arena"),
        pytest.param("CUDA failure 2: out of memory ; GPU=0", OutOfMemory, id="no room on the GPU"),
        pytest.param("CUDA failure 719: unspecified launch failure ; GPU=0", DeviceLost, id="the GPU has failed"),
        pytest.param("indices element out of data bounds", RuntimeError, id="the graph has failed"),
    ],
)
def test_a_failure_means_what_its_text_says(
    graph: onnxruntime.InferenceSession, clock: FakeClock, text: str, meaning: type[Exception]
) -> None:
    gpu = RecordingGpu(graph, clock)

    def fail(rows: int, graph_id: int) -> None:
        raise RuntimeError(text)

    gpu.before_run = fail
    with pytest.raises(meaning, match=text):
        cuda_session(gpu, captures=True, clock=clock).run(batch(ROWS))


@pytest.fixture
def at_positions(tmp_path: Path) -> CudaSession:
    """A session that gives, at each position asked for, the token id and its square, from a graph of eight tokens."""
    nodes = [
        helper.make_node("GatherElements", ["input_ids", "positions"], ["found"], axis=1),
        helper.make_node("Mul", ["found", "found"], ["squares"]),
        helper.make_node("Unsqueeze", ["found", "axis"], ["first"]),
        helper.make_node("Unsqueeze", ["squares", "axis"], ["second"]),
        helper.make_node("Concat", ["first", "second"], ["both"], axis=2),
        helper.make_node("Cast", ["both"], ["logits"], to=TensorProto.FLOAT),
    ]
    inputs = [
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", LONG]),
        helper.make_tensor_value_info("positions", TensorProto.INT64, ["batch", "positions"]),
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "positions", 2])]
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [2])
    model = helper.make_model(
        helper.make_graph(nodes, "graph", inputs, outputs, [axis]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.save(model, tmp_path / "graph.onnx")
    return CudaSession(
        onnxruntime.InferenceSession(str(tmp_path / "graph.onnx"), providers=["CPUExecutionProvider"]),
        LONG,
        [Tensor("input_ids", "int64", ["batch", "length"]), Tensor("positions", "int64", ["batch", "positions"])],
        [Tensor("logits", "float32", ["batch", "positions", 2])],
        Staging(HostMemory()),
        most_rows=4,
        captures=True,
    )


def test_any_number_of_positions_is_answered(at_positions: CudaSession) -> None:
    ids = np.array(ROWS, dtype=np.int64)
    for count in (1, 3, 8, 2):
        positions = np.tile(np.arange(count, dtype=np.int64), (3, 1))
        found = at_positions.run(Batch(ids, ids, ids, positions))["logits"]
        np.testing.assert_array_equal(found, np.stack([ids[:, :count], ids[:, :count] ** 2], axis=2))


def test_a_graph_that_takes_positions_is_not_recorded_and_needs_them(at_positions: CudaSession) -> None:
    assert at_positions.capture([1]) == []
    ids = np.array(ROWS, dtype=np.int64)
    with pytest.raises(ValueError, match="takes positions"):
        at_positions.run(Batch(ids, ids, ids))
