"""# tests/model_export/export/test_graph_check.py: None"""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime
from model_export.export.graph_check import widen

# Exact in both half types.
WEIGHT = [[0.5, -2.0], [0.25, 8.0]]
STEP = 0.125


def _graph(kind: int) -> ir.Model:
    """Return `float32(half(x) @ weight + step)`, with the weight as an initializer and the step as a constant node."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["half"], to=kind),
            helper.make_node("MatMul", ["half", "weight"], ["product"]),
            helper.make_node("Constant", [], ["step"], value=helper.make_tensor("step", kind, [], [STEP])),
            helper.make_node("Add", ["product", "step"], ["sum"]),
            helper.make_node("Cast", ["sum"], ["y"], to=TensorProto.FLOAT),
        ],
        "halves",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor("weight", kind, [2, 2], np.ravel(WEIGHT).tolist())],
        value_info=[helper.make_tensor_value_info(name, kind, ["batch", 2]) for name in ("half", "product", "sum")],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.BFLOAT16], ids=["fp16", "bf16"])
def test_a_widened_graph_runs_on_the_cpu_in_float32(kind: int, tmp_path: Path) -> None:
    graph = _graph(kind)
    widen(graph)
    ir.save(graph, tmp_path / "graph.onnx")
    model = onnx.load(tmp_path / "graph.onnx")
    onnx.checker.check_model(model, full_check=True)
    # In a half type it would be rounded away.
    x = np.float32([[1.0001, 3.0]])
    session = onnxruntime.InferenceSession(tmp_path / "graph.onnx", providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": x})
    assert np.allclose(y, x @ np.float32(WEIGHT) + np.float32(STEP), rtol=0, atol=1e-6)


def test_a_graph_in_float32_stays_as_it_is() -> None:
    graph = _graph(TensorProto.FLOAT)
    before = ir.to_proto(graph).SerializeToString()
    widen(graph)
    assert ir.to_proto(graph).SerializeToString() == before
