from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from bigbird_inference.manifest import Attention
from model_export.errors import ExportError
from model_export.export import trace
from model_export.export.trace import AttentionChoice
from model_export.pipeline import export_checkpoint
from model_export.preparation import ExportOptions
from tests.model_export.conftest import SmallExport


def _load(graph: Path) -> onnx.ModelProto:
    onnx.checker.check_model(graph)
    return onnx.load(graph, load_external_data=False)


def _shapes(values: list[onnx.ValueInfoProto]) -> dict[str, list[int | str]]:
    return {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}


def test_a_graph_takes_any_batch_of_any_length_and_gives_one_output(small_export: SmallExport) -> None:
    model = _load(small_export.bundle / "graph.onnx")
    names = ("input_ids", "attention_mask", "token_type_ids")
    assert _shapes(list(model.graph.input)) == {name: ["batch", "length"] for name in names}
    assert _shapes(list(model.graph.output)) == {"logits": ["batch", "length", 3]}
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": 20}
    # What the graph needs stands in the default operator set, so every execution provider can run it.
    assert {node.domain for node in model.graph.node} <= {""}
    assert not model.functions


def test_every_layer_has_weights_of_its_own_names(small_export: SmallExport) -> None:
    initializers = _load(small_export.bundle / "graph.onnx").graph.initializer
    names = {tensor.name for tensor in initializers if tensor.external_data}
    first = {name for name in names if name.startswith("encoder.layers.0.")}
    assert len(first) == 16
    assert {name for name in names if name.startswith("encoder.layers.1.")} == {
        name.replace("encoder.layers.0.", "encoder.layers.1.") for name in first
    }
    assert len(names) == 4 + 1 + 2 * 16 + 2


@pytest.fixture(scope="module")
def both_kernels(small_export: SmallExport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("both") / "bundle"
    choice: AttentionChoice = "both"
    export_checkpoint(small_export.checkpoint, folder, ExportOptions(buckets=(112, 160), attention=choice))
    return folder


@pytest.mark.parametrize(("attention", "operators"), [("full", 2), ("block_sparse", 4)])
def test_with_the_fused_kernel_every_attention_is_one_operator_with_key_lengths(
    both_kernels: Path, attention: Attention, operators: int
) -> None:
    """The small model has two layers; block-sparse ones have the global rows apart."""
    model = _load(both_kernels / f"graph-{attention}-fused.onnx")
    fused = [node for node in model.graph.node if node.op_type == "MultiHeadAttention"]
    assert len(fused) == operators
    assert {node.domain for node in fused} == {"com.microsoft"}
    # query, key, value, no bias, key lengths
    assert all(len(node.input) == 5 and not node.input[3] and node.input[4] for node in fused)
    assert {node.domain for node in model.graph.node} == {"", "com.microsoft"}
    assert "Softmax" not in {node.op_type for node in model.graph.node}
    composed = _load(both_kernels / "graph.onnx")
    assert "MultiHeadAttention" not in {node.op_type for node in composed.graph.node}


def _products(constants: dict[str, np.ndarray]) -> ir.Model:
    """Return a graph that multiplies one input with each constant, named as a tracer might."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", name], [f"{name}.out"]) for name in constants],
        "products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 20])],
        [helper.make_tensor_value_info(f"{name}.out", TensorProto.FLOAT, None) for name in constants],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


def _matrix(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(20, 20)).astype(np.float32)


def test_weights_get_the_names_of_the_parameters_whose_contents_they_have() -> None:
    constants = {
        "val_1": np.ascontiguousarray(_matrix(1).T),
        "p_weight": _matrix(1),
        "val_2": _matrix(2),
        "half": np.float32([[0.5]] * 20),
    }
    model = _products(constants)
    trace._name_weights(model, {"first.weight": _matrix(1), "second.weight": _matrix(2)})
    found = {name: value.const_value for name, value in model.graph.initializers.items()}
    assert set(found) == {"first.weight.transposed", "first.weight", "second.weight", "half"}
    assert [node.inputs[1].name for node in model.graph if node.inputs[1] is not None] == [
        "first.weight.transposed",
        "first.weight",
        "second.weight",
        "half",
    ]


def test_a_large_constant_that_is_no_parameter_is_refused() -> None:
    with pytest.raises(ExportError, match=r"the constant folded \[20, 20\] is not a parameter"):
        trace._name_weights(_products({"one": _matrix(1), "folded": _matrix(1) * 0.5}), {"first.weight": _matrix(1)})
