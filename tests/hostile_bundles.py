"""Bundles that pass every check of their files, and whose graphs do what no model does."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from onnx import TensorProto, helper

from bigbird_inference.bundle import write_manifest
from bigbird_inference.bundle_files import file_sha256
from bigbird_inference.manifest import HashedFile, Manifest, Tensor, TokenizerFile
from tests.fake_model import fake_graph, fake_manifest

LENGTHS = (16, 32)
LABELS = ["invoice", "report"]
# 3 * 2**30 float32 numbers: more than most machines that run tests should be asked for, and 12 GB.
_HUGE = [3, 1024, 1024, 1024]


def sums() -> list[Any]:
    """Two logits, both the sum of the ids."""
    return [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "length_axis"], ["summed"], keepdims=1),
        helper.make_node("Cast", ["summed"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["numbers", "numbers"], ["logits"], axis=1),
    ]


def endless() -> list[Any]:
    """A loop of 2**62 trips, whose condition is always true, before the sums."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["goes_on"]),
            helper.make_node("Add", ["carried", "carried"], ["doubled"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("trip", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.INT64, None),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("doubled", TensorProto.INT64, None),
        ],
    )
    loop = helper.make_node("Loop", ["trips", "always", "input_ids"], ["looped"], body=body)
    first, *others = sums()
    first.input[0] = "looped"
    return [loop, first, *others]


def hungry() -> list[Any]:
    """12 GB of zeros, of which one number is used; how many there are hangs on an input, so that nothing is folded."""
    first, *others = sums()
    first.input[0] = "fed"
    return [
        helper.make_node("Shape", ["input_ids"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["rows"]),
        helper.make_node("Mul", ["rows", "huge"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceMax", ["zeros"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["nothing"], to=TensorProto.INT64),
        helper.make_node("Add", ["input_ids", "nothing"], ["fed"]),
        first,
        *others,
    ]


def folded() -> list[Any]:
    """12 GB of zeros that onnxruntime makes while it loads the graph, because nothing of them hangs on an input."""
    nodes = hungry()
    del nodes[:3]
    nodes[0].input[0] = "huge"
    return nodes


def one_for_each_token() -> list[Any]:
    """As many logits as there are tokens, which the graph does not say."""
    *others, _ = sums()
    return [
        *others,
        helper.make_node("Shape", ["input_ids"], ["shape"]),
        helper.make_node("Expand", ["numbers", "shape"], ["logits"]),
    ]


def write_graph(path: Path, nodes: list[Any], outputs: int | str = len(LABELS), **tensors: Any) -> None:
    """Write a graph for classification.

    Args:
        path: The file.
        nodes: What it does.
        outputs: The size of its output's last axis.
        tensors: Further constants.
    """
    constants: Mapping[str, Any] = {
        "length_axis": helper.make_tensor("length_axis", TensorProto.INT64, [1], [1]),
        "trips": helper.make_tensor("trips", TensorProto.INT64, [], [2**62]),
        "always": helper.make_tensor("always", TensorProto.BOOL, [], [True]),
        "zero": helper.make_tensor("zero", TensorProto.INT64, [], [0]),
        "huge": helper.make_tensor("huge", TensorProto.INT64, [len(_HUGE)], _HUGE),
        **tensors,
    }
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "graph",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", outputs])],
        [tensor for name, tensor in constants.items() if name in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())


def write_bundle(
    folder: Path,
    nodes: list[Any],
    vocabulary: Path | None = None,
    *,
    outputs: int | str = len(LABELS),
    constants: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Manifest:
    """Write a bundle for classification.

    Args:
        folder: Where.
        nodes: What its graph does.
        vocabulary: A SentencePiece model; None for an empty file.
        outputs: How many logits the graph says that it gives.
        constants: Further constants of the graph.
        fields: What to replace in the manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.bin").write_bytes(b"weights")
    (folder / "tokenizer.model").write_bytes(b"" if vocabulary is None else vocabulary.read_bytes())
    graph, tokenizer, weights = (folder / name for name in ("graph-full.onnx", "tokenizer.model", "weights.bin"))
    write_graph(graph, nodes, outputs, **constants or {})
    manifest = replace(
        fake_manifest("classify", LENGTHS),
        labels=LABELS,
        tokenizer=TokenizerFile(
            tokenizer.name, tokenizer.stat().st_size, file_sha256(tokenizer), 1, 2, 0, mask_id=3, eos_id=None
        ),
        weights=HashedFile(weights.name, weights.stat().st_size, file_sha256(weights)),
        outputs=[Tensor("logits", "float32", ["batch", len(LABELS)])],
        graphs=[replace(fake_graph(max(LENGTHS)), bytes=graph.stat().st_size, sha256=file_sha256(graph))],
    )
    manifest = replace(manifest, **fields)
    write_manifest(manifest, folder)
    return manifest
