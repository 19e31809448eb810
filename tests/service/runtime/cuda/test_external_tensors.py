from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from service.errors import BundleError
from service.runtime.cuda.external_tensors import ExternalTensor, external_tensors
from tests.service.runtime.cuda.weighted_bundle import LONG, OFFSET, SHORT, weighted_bundle


def external(name: str, dims: list[int], data_type: int, **where: int | str) -> TensorProto:
    tensor = TensorProto(name=name, dims=dims, data_type=data_type, data_location=TensorProto.EXTERNAL)
    for key, value in where.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def save(path: Path, tensors: list[TensorProto]) -> Path:
    model = helper.make_model(helper.make_graph([], "graph", [], [], tensors), producer_name="a test")
    path.write_bytes(model.SerializeToString())
    return path


def test_only_weights_that_lie_elsewhere_are_found_in_their_order(tmp_path: Path) -> None:
    tensors = [
        external("half", [300, 2], TensorProto.FLOAT16, location="weights.bin", offset=2**33, length=1200),
        helper.make_tensor("own", TensorProto.INT64, [2], [1, 2]),
        external("scalar", [], TensorProto.BFLOAT16, location="weights.bin", length=2),
    ]
    assert external_tensors(save(tmp_path / "graph.onnx", tensors)) == [
        ExternalTensor("half", 10, (300, 2), "weights.bin", 2**33, 1200),
        ExternalTensor("scalar", 16, (), "weights.bin", 0, 2),
    ]


def test_it_agrees_with_the_package_onnx(tmp_path: Path) -> None:
    weighted_bundle(tmp_path)
    for length in (SHORT, LONG):
        graph = tmp_path / f"graph-{length}.onnx"
        described = onnx.load(graph, load_external_data=False).graph.initializer
        assert [(tensor.name, tensor.shape) for tensor in external_tensors(graph)] == [
            (tensor.name, tuple(tensor.dims)) for tensor in described
        ]
        assert {tensor.offset for tensor in external_tensors(graph)} == {OFFSET}


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda content: content[:-7], id="a file that was cut off"),
        pytest.param(lambda content: b"\xff" * 40, id="a file that is something else"),
    ],
)
def test_a_file_that_is_no_graph_is_refused_by_name(tmp_path: Path, spoil) -> None:
    path = save(tmp_path / "graph.onnx", [external("table", [1], 1, location="weights.bin", length=4)])
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(BundleError, match=r"graph\.onnx: its weights cannot be found"):
        external_tensors(path)


def test_a_weight_without_a_place_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "graph.onnx", [external("table", [1], 1, length=4)])
    with pytest.raises(BundleError, match="location"):
        external_tensors(path)
