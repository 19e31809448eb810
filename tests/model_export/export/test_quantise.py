"""int8 products against the arithmetic of dynamic quantisation done by hand in NumPy, and whole int8 bundles."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from bigbird_inference.bundle import open_bundle
from bigbird_inference.runtime.onnx_session import open_session
from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime
from bigbird_inference.runtime.session import Batch
from model_export.errors import ExportError
from model_export.export.buckets import BucketStep
from model_export.export.quantise import channel_scales, quantise
from model_export.pipeline import export_checkpoint
from model_export.preparation import ExportOptions
from tests.model_export.conftest import SmallExport
from tests.model_export.reference_models import make_document


def _matrix(seed: int, *shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _model(weights: dict[str, npt.NDArray[np.float32]]) -> ir.Model:
    """Return a graph that multiplies one input with each weight."""
    outputs = [f"{name}.out" for name in weights]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", name], [out]) for name, out in zip(weights, outputs, strict=True)],
        "products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 5, 8])],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, ["batch", 5, None]) for out in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


def _run(model: ir.Model, x: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    return [np.asarray(array) for array in session.run(None, {"x": x})]


def _by_hand(x: npt.NDArray[np.float32], weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Multiply 8-bit integers: activations from 0 to 255 over their range, weights from -127 to 127 by column."""
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    step = (high - low) / 255
    zero = round(-low / step)
    activations = np.clip(np.round(x.astype(np.float64) / step) + zero, 0, 255) - zero
    steps = np.abs(weight).max(axis=0).astype(np.float64) / 127
    return np.asarray(activations @ np.round(weight / steps) * step * steps)


def test_products_are_those_of_8_bit_integers() -> None:
    x = _matrix(1, 2, 5, 8)
    weights = {"encoder.a": _matrix(2, 8, 6), "encoder.b": _matrix(3, 8, 4) * 10}
    model = _model(weights)
    quantise(model)
    for found, weight in zip(_run(model, x), weights.values(), strict=True):
        expected = _by_hand(x, weight)
        assert np.allclose(found, expected, atol=1e-3 * np.abs(expected).max())
        assert not np.allclose(found, x @ weight, atol=1e-6)


def test_an_input_of_several_products_is_quantised_once() -> None:
    model = _model({"encoder.a": _matrix(2, 8, 6), "encoder.b": _matrix(3, 8, 4)})
    quantise(model)
    kinds = [node.op_type for node in model.graph]
    assert kinds.count("DynamicQuantizeLinear") == 1
    assert kinds.count("MatMulInteger") == 2
    assert "MatMul" not in kinds


def test_weights_of_other_parts_stay_as_they_are() -> None:
    x, weight = _matrix(1, 1, 5, 8), _matrix(2, 8, 6)
    model = _model({"head.output": weight})
    quantise(model)
    assert [node.op_type for node in model.graph] == ["MatMul"]
    assert np.allclose(_run(model, x)[0], x @ weight, atol=1e-5)


def test_a_column_of_zeros_gives_zeros() -> None:
    weight = _matrix(2, 8, 6)
    weight[:, 3] = 0
    assert channel_scales(weight)[3] == 1
    model = _model({"encoder.a": weight})
    quantise(model)
    assert not _run(model, _matrix(1, 1, 5, 8))[0][..., 3].any()


@pytest.fixture(scope="module")
def bundle(small_export: SmallExport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("int8") / "bundle"
    export_checkpoint(small_export.checkpoint, folder, ExportOptions(precision="int8", buckets=BucketStep(16)))
    return folder


def test_an_int8_bundle_says_so_with_its_agreement(bundle: Path) -> None:
    manifest = open_bundle(bundle).manifest
    assert manifest.precision == "int8"
    assert manifest.max_batch_items == 1
    for bucket in manifest.buckets:
        (parity,) = bucket.parity
        assert 0.95 <= parity.correlation < 1
        assert parity.agreement is not None
        assert 0.8 <= parity.agreement <= 1
        assert 1e-4 < parity.max_abs_difference <= parity.tolerance


def test_int8_weights_stand_in_the_shared_file_once(bundle: Path) -> None:
    graph = onnx.load(bundle / "graph.onnx", load_external_data=False).graph
    weights = {t.name: list(t.external_data) for t in graph.initializer if t.data_type == TensorProto.INT8}
    assert all(weights.values()), "an int8 weight lies inside the graph"
    assert len(weights) == len({str(place) for place in weights.values()}) == 2 * 6
    floats = [t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT and "encoder" in t.name]
    assert not any(name.endswith(("weight", "weight.transposed")) for name in floats if "norm" not in name)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_int8_answer_has_the_same_bits_in_every_bucket(bundle: Path, threads: int) -> None:
    """Whatever stands in the padding, which differs from bucket to bucket here."""
    manifest = open_bundle(bundle).manifest
    vocabulary = manifest.model["vocab_size"]
    for graph in manifest.graphs:
        session = open_session(bundle / graph.file, manifest, device="cpu", threads=threads)
        buckets = [bucket.length for bucket in manifest.buckets if bucket.attention == graph.attention]
        for length in (1, 15, 17, 33, 97) if graph.attention == "full" else (113, 129, 150, 192):
            document = make_document(length, vocab_size=vocabulary)
            answers = []
            for bucket in [bucket for bucket in buckets if bucket >= length]:
                noise = np.random.default_rng(bucket)
                ids, types = noise.integers(0, vocabulary, (1, bucket)), noise.integers(0, 2, (1, bucket))
                mask = np.zeros_like(ids)
                ids[0, :length], types[0, :length], mask[0, :length] = document.input_ids, document.token_type_ids, 1
                answers.append(session.run(Batch(ids, mask, types))["logits"][0, :length])
            assert len(answers) >= 5 or length == 97 or length == 192
            assert all(np.array_equal(answers[0], answer) for answer in answers[1:]), length


def test_a_graph_that_is_broken_is_not_let_through(small_export: SmallExport, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="bucket 112: outputs differ from torch"):
        export_checkpoint(
            small_export.checkpoint,
            tmp_path / "bundle",
            ExportOptions(precision="int8", buckets=(112,), tolerance=1e-3),
        )
    assert not list(tmp_path.iterdir())
