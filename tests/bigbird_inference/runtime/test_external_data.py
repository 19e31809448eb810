"""Tensors that lie in files, wherever in a graph they stand; onnx writes what is read here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from bigbird_inference.errors import BundleError
from bigbird_inference.runtime.external_data import _FIELDS, check_external_data


def external(location: str) -> Any:
    tensor = helper.make_tensor("table", TensorProto.FLOAT, [2], bytes(8), raw=True)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("offset", "0"), ("location", location), ("length", "8")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


def _graph(nodes: list[Any] = [], tensors: list[Any] = [], sparse: list[Any] = []) -> Any:  # noqa: B006
    return helper.make_graph(nodes, "graph", [], [], tensors, sparse_initializer=sparse)


def _model(graph: Any, functions: list[Any] = []) -> Any:  # noqa: B006
    return helper.make_model(graph, functions=functions)


def _sparse(tensor: Any) -> Any:
    return helper.make_sparse_tensor(tensor, helper.make_tensor("indices", TensorProto.INT64, [2], [0, 1]), [4])


PLACES: dict[str, Callable[[Any], Any]] = {
    "a weight": lambda tensor: _model(_graph(tensors=[tensor])),
    "a constant": lambda tensor: _model(_graph([helper.make_node("Constant", [], ["c"], value=tensor)])),
    "a sparse weight": lambda tensor: _model(_graph(sparse=[_sparse(tensor)])),
    "a sparse constant": lambda tensor: _model(
        _graph([helper.make_node("Constant", [], ["c"], sparse_value=_sparse(tensor))])
    ),
    "a branch": lambda tensor: _model(
        _graph([helper.make_node("If", ["c"], ["d"], then_branch=_graph(tensors=[tensor]), else_branch=_graph())])
    ),
    "a list of tensors": lambda tensor: _model(_graph([helper.make_node("Any", [], ["c"], values=[tensor])])),
    "a list of graphs": lambda tensor: _model(
        _graph([helper.make_node("Any", [], ["c"], graphs=[_graph(tensors=[tensor])])])
    ),
    "a function": lambda tensor: _model(
        _graph(),
        [
            helper.make_function(
                "own",
                "F",
                [],
                ["c"],
                [helper.make_node("Constant", [], ["c"], value=tensor)],
                [helper.make_opsetid("", 17)],
            )
        ],
    ),
    "a graph for training": lambda tensor: onnx.ModelProto(
        training_info=[onnx.TrainingInfoProto(algorithm=_graph(tensors=[tensor]))]
    ),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_only_the_weights_are_read_wherever_a_tensor_stands(tmp_path: Path, place: Callable[[Any], Any]) -> None:
    graph = tmp_path / "graph.onnx"
    graph.write_bytes(place(external("weights.bin")).SerializeToString())
    check_external_data(graph, "weights.bin")
    for other in ("extra2.bin", "./weights.bin", "graph.onnx", "*/_ORT_MEM_ADDR_/*"):
        graph.write_bytes(place(external(other)).SerializeToString())
        with pytest.raises(
            BundleError, match=r"graph\.onnx: takes tensors from '.*', which the manifest does not list"
        ):
            check_external_data(graph, "weights.bin")


def test_no_other_field_of_onnx_leads_to_a_tensor() -> None:
    messages = _messages(onnx.ModelProto.DESCRIPTOR)
    leads = {"Tensor"}
    while more := {name for name, fields in messages.items() if leads & set(fields.values())} - leads:
        leads |= more
    expected = {
        name: {number: inner for number, inner in messages[name].items() if inner in leads}
        for name in leads - {"Tensor"}
    }
    expected["Tensor"] = {number: inner for number, inner in messages["Tensor"].items() if number == 13}
    assert expected == _FIELDS


def _messages(root: Any) -> dict[str, dict[int, str]]:
    """Return the fields of every message that can stand in another, by number, with the messages that they hold."""
    found: dict[str, dict[int, str]] = {}
    pending = [root]
    while pending:
        descriptor = pending.pop()
        if _name(descriptor) not in found:
            inner = {field.number: field.message_type for field in descriptor.fields if field.message_type is not None}
            found[_name(descriptor)] = {number: _name(message) for number, message in inner.items()}
            pending += inner.values()
    return found


def _name(descriptor: Any) -> str:
    return str(descriptor.full_name).removeprefix("onnx.").removesuffix("Proto")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\x3a\xff", id="a length beyond the end"),
        pytest.param(b"\x3b", id="a group"),
        # Field 7 of wire type 2 is 0x3a; some readers drop the bit above the 32nd that is set here.
        pytest.param(b"\xba\x80\x80\x80\x10\x00", id="a tag of more than 32 bits"),
        pytest.param(b"\x08" + b"\xff" * 11, id="an endless number"),
        pytest.param(b"ORTM\x00\x00", id="another format"),
    ],
)
def test_what_is_no_graph_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "graph.onnx").write_bytes(content)
    with pytest.raises(BundleError, match=r"graph\.onnx: is not an ONNX graph: "):
        check_external_data(tmp_path / "graph.onnx", "weights.bin")
