import itertools
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime
from model_export.checkpoints.pytorch import huggingface_names
from model_export.config import BigBirdConfig
from model_export.export.shared_weights import SharedWeights
from model_export.pipeline import export_checkpoint
from model_export.preparation import ExportOptions
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
    return [export.bundle / graph.file for graph in export.manifest.graphs]


def test_a_weight_has_one_name_and_one_place_in_all_graphs(small_export: SmallExport, tmp_path: Path) -> None:
    options = ExportOptions(buckets=(112, 160), attention="both")
    manifest = export_checkpoint(small_export.checkpoint, tmp_path / "bundle", options)
    first, second, third = (_external(tmp_path / "bundle" / file) for file in {graph.file for graph in manifest.graphs})
    assert first == second == third


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


def test_weights_and_what_was_made_of_them_lie_in_the_file_and_other_constants_in_the_graph(tmp_path: Path) -> None:
    constants = {
        "first.weight": _square(1),
        "first.weight.transposed": np.ascontiguousarray(_square(1).T),
        "first.weight.scales": _square(2)[:1],
        "second.weight": _square(3),
        "first.weights": np.float32([[0.5]]),
        "val_1": np.float32([[0.25]]),
    }
    weights = SharedWeights(tmp_path / "weights.bin", ["first.weight", "second.weight"])
    model = _model(constants)
    weights.take_from(model)
    total = _square(1) + _square(1).T + _square(2)[:1] + _square(3)
    assert np.allclose(_run(tmp_path, model)[0], 1.75 + total, atol=1e-5)
    assert set(_external(tmp_path / "graph.onnx")) == {
        "first.weight",
        "first.weight.transposed",
        "first.weight.scales",
        "second.weight",
    }


def test_equal_contents_are_stored_once_under_their_own_names_for_all_graphs(tmp_path: Path) -> None:
    weight = _square(1)
    weights = SharedWeights(tmp_path / "weights.bin", ["one", "two", "three"])
    for constants in ({"two": weight, "one": weight.copy()}, {"three": weight, "two": weight}):
        model = _model(constants)
        weights.take_from(model)
        assert set(model.graph.initializers) == set(constants)
        assert np.allclose(_run(tmp_path, model)[0], 1 + 2 * weight, atol=1e-5)
        assert {(offset, length) for offset, length, _ in _external(tmp_path / "graph.onnx").values()} == {(0, 1600)}
    assert (tmp_path / "weights.bin").stat().st_size == weight.nbytes


def test_equal_bytes_of_other_shapes_or_types_are_kept_apart(tmp_path: Path) -> None:
    """Zeros of 20 x 20 float32 numbers are those of 400 x 1."""
    weights = SharedWeights(tmp_path / "weights.bin", ["one", "two"])
    zeros = np.zeros((20, 20), dtype=np.float32)
    model = _model({"one": zeros, "two": zeros.reshape(1, 20, 20)})
    weights.take_from(model)
    assert np.allclose(_run(tmp_path, model)[0], 1, atol=0)
    assert sorted(place[:2] for place in _external(tmp_path / "graph.onnx").values()) == [(0, 1600), (PAGE, 1600)]
