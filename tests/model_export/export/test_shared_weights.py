import itertools
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from model_export.checkpoints.pytorch_names import huggingface_names
from model_export.config import BigBirdConfig
from model_export.errors import ExportError
from model_export.export.shared_weights import SharedWeights
from tests.model_export.conftest import SmallExport

PAGE = 4096


def _external(graph: Path) -> dict[str, tuple[int, int, tuple[int, ...]]]:
    """Return offset, bytes and shape of each weight that a graph takes from elsewhere."""
    model = onnx.load(graph, load_external_data=False)
    found = {}
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            entries = {entry.key: entry.value for entry in tensor.external_data}
            assert entries["location"] == "weights.bin"
            found[tensor.name] = (int(entries["offset"]), int(entries["length"]), tuple(tensor.dims))
    return found


def _graphs(export: SmallExport) -> list[Path]:
    return [export.bundle / bucket.file for bucket in export.manifest.buckets]


def test_a_weight_has_one_name_and_one_place_in_all_graphs(small_export: SmallExport) -> None:
    first, second = (_external(graph) for graph in _graphs(small_export))
    assert set(first) == set(second)
    assert first == second


def test_every_weight_stands_where_its_name_says_with_the_checkpoints_numbers(small_export: SmallExport) -> None:
    names = huggingface_names("ner", BigBirdConfig.from_dict(small_export.model.config.to_dict()))
    theirs = small_export.model.state_dict()
    stored = (small_export.bundle / "weights.bin").read_bytes()
    external = _external(_graphs(small_export)[0])
    assert {name.removesuffix(".transposed") for name in external} == set(names)
    for name, (offset, length, shape) in external.items():
        expected = theirs[names[name.removesuffix(".transposed")].name].numpy()
        expected = expected.T if name.endswith(".transposed") else expected
        assert shape == expected.shape, name
        found = np.frombuffer(stored[offset : offset + length], dtype=np.float32).reshape(shape)
        assert np.array_equal(found, expected), name


def test_the_file_holds_each_weight_once_on_pages_of_its_own(small_export: SmallExport) -> None:
    extents = sorted({(offset, length) for offset, length, _ in _external(_graphs(small_export)[0]).values()})
    assert all(offset % PAGE == 0 for offset, _ in extents)
    assert all(offset + length <= following for (offset, length), (following, _) in itertools.pairwise(extents))
    parameters = sum(
        parameter.numel() * 4 for name, parameter in small_export.model.named_parameters() if "pooler" not in name
    )
    assert sum(length for _, length in extents) == parameters
    last_offset, last_length = extents[-1]
    assert (small_export.bundle / "weights.bin").stat().st_size == last_offset + last_length


def test_graph_files_contain_no_weights(small_export: SmallExport) -> None:
    smallest = min(parameter.numel() for parameter in small_export.model.parameters() if parameter.ndim == 2) * 4
    for graph in _graphs(small_export):
        model = onnx.load(graph, load_external_data=False)
        inside = [tensor for tensor in model.graph.initializer if tensor.data_location != TensorProto.EXTERNAL]
        attributes = [a.t for node in model.graph.node for a in node.attribute if a.type == onnx.AttributeProto.TENSOR]
        floats = [numpy_helper.to_array(t) for t in inside + attributes if t.data_type == TensorProto.FLOAT]
        assert all(array.nbytes < smallest for array in floats)


def test_graph_files_tell_nothing_about_the_machine_that_made_them(small_export: SmallExport) -> None:
    for graph in _graphs(small_export):
        content = graph.read_bytes()
        for trace in (b"site-packages", b".py", str(Path.home()).encode() + b"/", str(Path.cwd()).encode()):
            assert trace not in content


def _model(constants: dict[str, np.ndarray]) -> ir.Model:
    """Return a graph that sums its constants, which all have the input's shape or can be added to it."""
    names = list(constants)
    nodes, total = [], "x"
    for number, name in enumerate(names):
        nodes.append(helper.make_node("Add", [total, name], [f"sum_{number}"]))
        total = f"sum_{number}"
    graph = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 20, 20])],
        [helper.make_tensor_value_info(total, TensorProto.FLOAT, ["batch", 20, 20])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


def _square(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(20, 20)).astype(np.float32)


def _run(folder: Path, model: ir.Model) -> np.ndarray:
    ir.save(model, folder / "graph.onnx")
    session = onnxruntime.InferenceSession(str(folder / "graph.onnx"), providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {"x": np.ones((1, 20, 20), dtype=np.float32)})[0]
    return result


def test_renamed_transposed_and_repeated_weights_keep_the_graphs_result(tmp_path: Path) -> None:
    weight, other = _square(1), _square(2)
    constants = {
        "val_1": np.ascontiguousarray(weight.T),
        "first.weight": weight,
        "val_2": weight.copy(),
        "val_3": other,
        "val_4": np.ascontiguousarray(weight.T),
    }
    weights = SharedWeights(tmp_path / "weights.bin", {"first.weight": weight, "second.weight": other})
    weights.start()
    model = _model(constants)
    weights.give_names(model)
    weights.take_from(model)
    assert set(model.graph.initializers) == {"first.weight", "first.weight.transposed", "second.weight"}
    expected = 1 + 2 * weight + 2 * weight.T + other
    assert np.allclose(_run(tmp_path, model)[0], expected, atol=1e-5)
    assert (tmp_path / "weights.bin").stat().st_size == 2 * PAGE + weight.nbytes


def test_parameters_with_equal_contents_are_stored_once_under_their_own_names(tmp_path: Path) -> None:
    weight = _square(1)
    weights = SharedWeights(tmp_path / "weights.bin", {"one": weight, "two": weight.copy()})
    weights.start()
    model = _model({"two": weight, "one": weight.copy()})
    weights.give_names(model)
    weights.take_from(model)
    assert set(model.graph.initializers) == {"one", "two"}
    assert np.allclose(_run(tmp_path, model)[0], 1 + 2 * weight, atol=1e-5)
    assert (tmp_path / "weights.bin").stat().st_size == weight.nbytes


def test_the_first_rows_of_a_table_are_a_part_of_it_in_the_file(tmp_path: Path) -> None:
    """The tracer folds what a bucket takes of a small model's position embeddings into a constant."""
    table = np.concatenate([_square(1), _square(2)])
    weights = SharedWeights(tmp_path / "weights.bin", {"other": _square(3), "table": table})
    weights.start()
    for constants in ({"slice_1": table[:20]}, {"slice_1": table[:20], "other": _square(3)}):
        model = _model(constants)
        weights.give_names(model)
        weights.take_from(model)
        assert "table.first_20" in model.graph.initializers
        expected = 1 + table[:20] + (_square(3) if "other" in constants else 0)
        assert np.allclose(_run(tmp_path, model)[0], expected, atol=1e-5)
    assert (tmp_path / "weights.bin").stat().st_size == PAGE + _square(3).nbytes


def test_a_large_constant_that_is_no_parameter_is_refused(tmp_path: Path) -> None:
    weights = SharedWeights(tmp_path / "weights.bin", {"one": _square(1)})
    weights.start()
    with pytest.raises(ExportError, match=r"the constant folded \[20, 20\] is no parameter"):
        weights.give_names(_model({"one": _square(1), "folded": _square(1) * 0.5}))


def test_a_small_constant_stays_in_the_graph(tmp_path: Path) -> None:
    weights = SharedWeights(tmp_path / "weights.bin", {"one": _square(1)})
    weights.start()
    model = _model({"one": _square(1), "half": np.float32([0.5])})
    weights.give_names(model)
    weights.take_from(model)
    assert np.allclose(_run(tmp_path, model)[0], 1.5 + _square(1), atol=1e-6)
