from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from service.bundle import Manifest, Tensor
from service.errors import BundleError
from service.runtime.onnx_session import DeviceUnavailable, execution_providers, open_session
from service.runtime.session import Batch
from tests.service.fake_model import fake_manifest

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
    logits = open_session(graph, manifest, device="cpu", threads=1).run(batch())
    assert logits.dtype == np.float32
    assert logits[0, :4].tolist() == [[5.0, 0.0], [6.0, 0.0], [7.0, 1.0], [0.0, 0.0]]


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
    with pytest.raises(BundleError, match=r"graph-8\.onnx: onnxruntime cannot load it"):
        open_session(graph, manifest, device="cpu", threads=1)


def test_cuda_where_onnxruntime_has_none_is_refused_and_auto_takes_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    assert execution_providers("auto") == execution_providers("cpu") == ["CPUExecutionProvider"]
    with pytest.raises(DeviceUnavailable, match="cuda"):
        execution_providers("cuda")


def test_auto_prefers_cuda_where_onnxruntime_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: providers)
    assert execution_providers("auto") == execution_providers("cuda") == providers
    assert execution_providers("cpu") == ["CPUExecutionProvider"]
