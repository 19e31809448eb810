import re
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import Manifest, Tensor
from bigbird_inference.runtime.devices import DeviceUnavailable
from bigbird_inference.runtime.onnx_session import OnnxSession, execution_providers, open_session
from bigbird_inference.runtime.session import Batch, OutOfMemory, RunControl, RunTerminated
from tests.fake_model import fake_manifest

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A graph whose logits are, at each position, the token id masked and the token type."""
    length = 8
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", length]) for name in INPUTS]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", length, 2])
    last_axis = helper.make_tensor("last_axis", TensorProto.INT64, [1], [2])
    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["masked"]),
        helper.make_node("Unsqueeze", ["masked", "last_axis"], ["first"]),
        helper.make_node("Unsqueeze", ["token_type_ids", "last_axis"], ["second"]),
        helper.make_node("Concat", ["first", "second"], ["both"], axis=2),
        helper.make_node("Cast", ["both"], ["logits"], to=TensorProto.FLOAT),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "graph", inputs, [output], [last_axis]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    path = tmp_path / "graph-8.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def manifest() -> Manifest:
    return replace(
        fake_manifest("qa", (8,)),
        inputs=[Tensor(name, "int64", ["batch", "length"]) for name in INPUTS],
        outputs=[Tensor("logits", "float32", ["batch", "length", 2])],
    )


def batch() -> Batch:
    ids = np.array([[5, 6, 7, 0, 0, 0, 0, 0]], dtype=np.int64)
    return Batch(ids, (ids > 0).astype(np.int64), (ids == 7).astype(np.int64))


def test_a_session_runs_its_graph(graph: Path, manifest: Manifest) -> None:
    outputs = open_session(graph, manifest, device="cpu", threads=1).run(batch())
    assert list(outputs) == ["logits"]
    logits = outputs["logits"]
    assert logits.dtype == np.float32
    assert logits[0, :4].tolist() == [[5.0, 0.0], [6.0, 0.0], [7.0, 1.0], [0.0, 0.0]]


def test_every_output_has_its_name_and_positions_reach_the_graph(tmp_path: Path) -> None:
    inputs = [
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", 4]),
        helper.make_tensor_value_info("positions", TensorProto.INT64, ["batch", "positions"]),
    ]
    outputs = [
        helper.make_tensor_value_info("places", TensorProto.FLOAT, ["batch", "positions"]),
        helper.make_tensor_value_info("ids", TensorProto.FLOAT, ["batch", 4]),
    ]
    nodes = [
        helper.make_node("Cast", ["positions"], ["places"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(nodes, "graph", inputs, outputs)
    path = tmp_path / "graph-4.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    described = replace(
        fake_manifest("fill-mask", (4,)),
        inputs=[Tensor("input_ids", "int64", ["batch", 4]), Tensor("positions", "int64", ["batch", "positions"])],
        outputs=[Tensor("ids", "float32", ["batch", 4]), Tensor("places", "float32", ["batch", "positions"])],
    )
    session = open_session(path, described, device="cpu", threads=1)
    ids = np.array([[5, 6, 7, 8]], dtype=np.int64)
    found = session.run(Batch(ids, ids, ids, positions=np.array([[3, 1]], dtype=np.int64)))
    assert {name: array.tolist() for name, array in found.items()} == {"places": [[3.0, 1.0]], "ids": [[5, 6, 7, 8]]}
    with pytest.raises(ValueError, match="the graph takes positions, and the batch has none"):
        session.run(Batch(ids, ids, ids))


def save_counting_graph(path: Path, nodes: list[Any]) -> Manifest:
    """Write a graph that counts to the first token id in its own way; nodes lead from `count` to `counted`."""
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", 4]) for name in INPUTS]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4])
    constants = [
        helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("float_one", TensorProto.FLOAT, [1], [1.0]),
        helper.make_tensor("true", TensorProto.BOOL, [], [True]),
    ]
    around = [
        # The whole of both other inputs, so that none is left out of the graph.
        helper.make_node("Add", ["attention_mask", "token_type_ids"], ["others"]),
        helper.make_node("Cast", ["others"], ["float_others"], to=TensorProto.FLOAT),
        helper.make_node("Slice", ["input_ids", "zero", "one", "zero"], ["first_row"]),
        helper.make_node("Slice", ["first_row", "zero", "one", "one"], ["first_id"]),
        helper.make_node("Squeeze", ["first_id", "zero"], ["count"]),
        *nodes,
        helper.make_node("Add", ["float_others", "counted"], ["logits"]),
    ]
    graph = helper.make_graph(around, "graph", inputs, [output], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return replace(
        fake_manifest("qa", (4,)),
        inputs=[Tensor(name, "int64", ["batch", "length"]) for name in INPUTS],
        outputs=[Tensor("logits", "float32", ["batch", "length"])],
    )


def counting_batch(count: int) -> Batch:
    zeros = np.zeros((1, 4), dtype=np.int64)
    return Batch(np.full((1, 4), count, dtype=np.int64), zeros, zeros)


@pytest.fixture
def counting_in_a_loop(tmp_path: Path) -> OnnxSession:
    """A session whose run takes as many steps as the first token id says."""
    step = helper.make_graph(
        [
            helper.make_node("Identity", ["going_on"], ["still_going_on"]),
            helper.make_node("Add", ["sum", "float_one"], ["next_sum"]),
        ],
        "step",
        [
            helper.make_tensor_value_info("iteration", TensorProto.INT64, []),
            helper.make_tensor_value_info("going_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("still_going_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next_sum", TensorProto.FLOAT, [1]),
        ],
    )
    nodes = [
        helper.make_node("Cast", ["zero"], ["float_zero"], to=TensorProto.FLOAT),
        helper.make_node("Loop", ["count", "true", "float_zero"], ["counted"], body=step),
    ]
    manifest = save_counting_graph(tmp_path / "graph-4.onnx", nodes)
    return open_session(tmp_path / "graph-4.onnx", manifest, device="cpu", threads=1)


@pytest.fixture
def counting_in_memory(tmp_path: Path) -> OnnxSession:
    """A session whose run needs room for as many numbers as the first token id says."""
    nodes = [
        helper.make_node("Expand", ["float_one", "count"], ["ones"]),
        helper.make_node("ReduceSum", ["ones"], ["counted"], keepdims=0),
    ]
    manifest = save_counting_graph(tmp_path / "graph-4.onnx", nodes)
    return open_session(tmp_path / "graph-4.onnx", manifest, device="cpu", threads=1)


class ControlInAnotherThread(RunControl):
    """A control that another thread terminates as soon as a run is attached to it."""

    def attach(self, end_run: Callable[[], None]) -> None:
        super().attach(end_run)
        threading.Thread(target=self.terminate).start()


def test_another_thread_can_end_a_run_and_the_session_runs_again(counting_in_a_loop: OnnxSession) -> None:
    # So many steps would take thousands of years.
    with pytest.raises(RunTerminated):
        counting_in_a_loop.run(counting_batch(2**60), ControlInAnotherThread())
    assert counting_in_a_loop.run(counting_batch(3), RunControl())["logits"].tolist() == [[3.0] * 4]


def test_a_run_whose_end_was_asked_for_before_it_began_does_not_run(counting_in_a_loop: OnnxSession) -> None:
    control = RunControl()
    control.terminate()
    with pytest.raises(RunTerminated):
        counting_in_a_loop.run(counting_batch(3), control)


def test_terminating_a_run_that_has_ended_changes_nothing(counting_in_a_loop: OnnxSession) -> None:
    control = RunControl()
    outputs = counting_in_a_loop.run(counting_batch(3), control)
    control.terminate()
    assert outputs["logits"].tolist() == [[3.0] * 4]
    assert counting_in_a_loop.run(counting_batch(2))["logits"].tolist() == [[2.0] * 4]


def test_out_of_memory_is_said_and_the_session_runs_again(counting_in_memory: OnnxSession) -> None:
    # Four petabytes are more than an address space holds, however generous the system is with promises.
    with pytest.raises(OutOfMemory):
        counting_in_memory.run(counting_batch(2**50))
    assert counting_in_memory.run(counting_batch(5))["logits"].tolist() == [[5.0] * 4]


class FailingSession:
    """Stands for onnxruntime's session on a device that is not here; every run fails with the same text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def get_inputs(self) -> list[Any]:
        return []

    def get_outputs(self) -> list[Any]:
        return []

    def run(self, *arguments: object) -> None:
        raise RuntimeError(self._text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            "bfc_arena.cc:360 AllocateRawInternal Failed to allocate memory for requested buffer of size 4096",
            id="an arena whose device gave it nothing",
        ),
        pytest.param(
            "bfc_arena.cc:347 Available memory of 1024 is smaller than requested bytes of 4096", id="a limited arena"
        ),
        pytest.param("Status Message: std::bad_alloc", id="no arena"),
        pytest.param("CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc((void**)&p, size);", id="cuda"),
        pytest.param("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0 ; expr=cublasCreate", id="a CUDA library"),
    ],
)
def test_out_of_memory_is_understood_however_it_is_said(text: str) -> None:
    with pytest.raises(OutOfMemory, match=re.escape(text)):
        OnnxSession(FailingSession(text)).run(batch())


def test_any_other_failure_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="indices element out of data bounds"):
        OnnxSession(FailingSession("Gather: indices element out of data bounds, idx=9")).run(batch())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"inputs": [Tensor(name, "int64", ["batch", "length"]) for name in INPUTS[:2]]},
            "inputs are .*token_type_ids.* the manifest says",
            id="an input that the manifest does not have",
        ),
        pytest.param(
            {"outputs": [Tensor("scores", "float32", ["batch", "length", 2])]},
            "outputs are .*logits.* the manifest says",
            id="an output of another name",
        ),
        pytest.param(
            {"outputs": [Tensor("logits", "float32", ["batch", "length", 9])]},
            "output logits is float32",
            id="another number of labels",
        ),
        pytest.param(
            {"outputs": [Tensor("logits", "float32", ["batch", 2])]}, "output logits", id="another number of axes"
        ),
        pytest.param(
            {"inputs": [Tensor(name, "int32", ["batch", "length"]) for name in INPUTS]},
            "input input_ids is int64",
            id="another element type",
        ),
    ],
)
def test_a_graph_that_does_not_fit_its_manifest_is_refused_by_name(
    graph: Path, manifest: Manifest, changes: dict[str, list[Tensor]], message: str
) -> None:
    with pytest.raises(BundleError, match=message) as error:
        open_session(graph, replace(manifest, **changes), device="cpu", threads=1)
    assert str(graph) in str(error.value)


def test_a_file_that_is_no_graph_is_refused_by_name(graph: Path, manifest: Manifest) -> None:
    graph.write_bytes(b"not a graph")
    with pytest.raises(BundleError, match=r"graph-8\.onnx: is not an ONNX graph"):
        open_session(graph, manifest, device="cpu", threads=1)


def test_a_gpu_where_onnxruntime_has_no_cuda_is_refused(
    graph: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    assert execution_providers("cpu") == ["CPUExecutionProvider"]
    with pytest.raises(DeviceUnavailable, match="cuda:1 was asked for"):
        open_session(graph, manifest, device="cuda:1", threads=1)


@pytest.mark.parametrize(("device", "number"), [("cuda", "0"), ("cuda:0", "0"), ("cuda:3", "3")])
def test_a_gpu_is_asked_for_exact_products_and_the_cpu_for_the_rest(
    device: str, number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: providers)
    assert execution_providers(device) == [
        ("CUDAExecutionProvider", {"device_id": number, "use_tf32": "0"}),
        "CPUExecutionProvider",
    ]
    assert execution_providers("cpu") == ["CPUExecutionProvider"]


def test_a_gpu_that_onnxruntime_does_not_start_is_refused(
    graph: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "bigbird_inference.runtime.onnx_session.execution_providers", lambda device: ["CPUExecutionProvider"]
    )
    with pytest.raises(DeviceUnavailable, match="could not start it"):
        open_session(graph, manifest, device="cuda:0", threads=1)
