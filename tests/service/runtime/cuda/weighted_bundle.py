"""A bundle of two buckets whose graphs multiply token ids by one table, of which the short one takes the first rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from service.bundle import Bundle, HashedFile, Manifest, Tensor
from service.runtime.session import Batch
from tests.service.fake_model import fake_manifest

SHORT, LONG = 4, 8
TABLE = np.random.default_rng(0).standard_normal((LONG, 3)).astype(np.float32)
OFFSET = 4096


def table_name(length: int) -> str:
    return "table" if length == LONG else f"table.first_{length}"


def save_graph(path: Path, length: int) -> None:
    tensor = TensorProto(
        name=table_name(length),
        data_type=TensorProto.FLOAT,
        dims=[length, 3],
        data_location=TensorProto.EXTERNAL,
    )
    for key, value in (("location", "weights.bin"), ("offset", OFFSET), ("length", length * 3 * 4)):
        tensor.external_data.add(key=key, value=str(value))
    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["masked"]),
        helper.make_node("Cast", ["masked"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["numbers", table_name(length)], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", length]) for name in INPUTS],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        # An inner constant and an initializer of the graph's own are no weights of the bundle.
        [tensor],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    onnx.checker.check_model(str(path))


INPUTS = ("input_ids", "attention_mask")


def weighted_manifest() -> Manifest:
    return replace(
        fake_manifest("classify", (SHORT, LONG)),
        weights=HashedFile("weights.bin", OFFSET + TABLE.nbytes, "0" * 64),
        inputs=[Tensor(name, "int64", ["batch", "length"]) for name in INPUTS],
        outputs=[Tensor("logits", "float32", ["batch", 3])],
    )


def weighted_bundle(folder: Path) -> Bundle:
    (folder / "weights.bin").write_bytes(bytes(OFFSET) + TABLE.tobytes())
    for length in (SHORT, LONG):
        save_graph(folder / f"graph-{length}.onnx", length)
    return Bundle(folder, weighted_manifest())


def batch(rows: list[list[int]]) -> Batch:
    ids = np.array(rows, dtype=np.int64)
    return Batch(ids, (ids > 0).astype(np.int64), np.zeros_like(ids))


def expected(rows: list[list[int]]) -> np.ndarray:
    ids = np.array(rows, dtype=np.float32)
    return ids @ TABLE[: ids.shape[1]]
