"""Graphs of a few operators, and the manifests that they fit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bigbird_inference.manifest import Manifest, Tensor
from bigbird_inference.runtime.session import Batch
from tests.fake_model import fake_manifest

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_WIDTH = 64


def save(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: list[Any]) -> None:
    """Write a graph."""
    graph = helper.make_graph(nodes, "graph", inputs, outputs, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def save_graph_of_ids(path: Path) -> Manifest:
    """Write a graph whose logits are, at each position of eight, the token id masked and the token type."""
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
    save(path, nodes, inputs, [output], [last_axis])
    return replace(
        fake_manifest("qa", (length,)),
        inputs=[Tensor(name, "int64", ["batch", "length"]) for name in INPUTS],
        outputs=[Tensor("logits", "float32", ["batch", "length", 2])],
    )


def batch_of_ids() -> Batch:
    """Return three tokens in eight places; the third is of the second type."""
    ids = np.array([[5, 6, 7, 0, 0, 0, 0, 0]], dtype=np.int64)
    return Batch(ids, (ids > 0).astype(np.int64), (ids == 7).astype(np.int64))


def save_graph_of_positions(path: Path) -> Manifest:
    """Write a graph that gives the ids and the positions that it takes."""
    inputs = [
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", 4]),
        helper.make_tensor_value_info("positions", TensorProto.INT64, ["batch", "positions"]),
    ]
    outputs = [
        helper.make_tensor_value_info("places", TensorProto.FLOAT, ["batch", "positions"]),
        helper.make_tensor_value_info("ids", TensorProto.FLOAT, ["batch", 4]),
    ]
    nodes = [
        helper.make_node("Cast", ["positions"], ["places"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT),
    ]
    save(path, nodes, inputs, outputs, [])
    return replace(
        fake_manifest("fill-mask", (4,)),
        inputs=[Tensor("input_ids", "int64", ["batch", 4]), Tensor("positions", "int64", ["batch", "positions"])],
        outputs=[Tensor("ids", "float32", ["batch", 4]), Tensor("places", "float32", ["batch", "positions"])],
    )


def save_counting_graph(path: Path, nodes: list[Any]) -> Manifest:
    """Write a graph that counts to the first token id in its own way; nodes lead from `count` to `counted`."""
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", 4]) for name in INPUTS]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4])
    turned = np.roll(np.eye(_WIDTH, dtype=np.float32), 1, axis=0)
    constants = [
        helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("width", TensorProto.INT64, [1], [_WIDTH]),
        helper.make_tensor("in_fours", TensorProto.INT64, [2], [-1, 4]),
        helper.make_tensor("float_one", TensorProto.FLOAT, [1], [1.0]),
        helper.make_tensor("true", TensorProto.BOOL, [], [True]),
        numpy_helper.from_array(turned, "turned"),
    ]
    around = [
        # The whole of both other inputs, so that none is left out of the graph.
        helper.make_node("Add", ["attention_mask", "token_type_ids"], ["others"]),
        helper.make_node("Cast", ["others"], ["float_others"], to=TensorProto.FLOAT),
        helper.make_node("Slice", ["input_ids", "zero", "one", "zero"], ["first_row"]),
        helper.make_node("Slice", ["first_row", "zero", "one", "one"], ["first_id"]),
        helper.make_node("Squeeze", ["first_id", "zero"], ["count"]),
        *nodes,
        helper.make_node("Add", ["float_others", "counted"], ["logits"]),
    ]
    save(path, around, inputs, [output], constants)
    return replace(
        fake_manifest("qa", (4,)),
        inputs=[Tensor(name, "int64", ["batch", "length"]) for name in INPUTS],
        outputs=[Tensor("logits", "float32", ["batch", "length"])],
    )


def counting_batch(count: int) -> Batch:
    """Return a batch whose first token id is a number."""
    zeros = np.zeros((1, 4), dtype=np.int64)
    return Batch(np.full((1, 4), count, dtype=np.int64), zeros, zeros)


def in_many_products() -> list[Any]:
    """Count rows that hundreds of products, one after the other, leave as they are."""
    products = 300
    return [
        helper.make_node("Concat", ["count", "width"], ["shape"], axis=0),
        helper.make_node("Expand", ["float_one", "shape"], ["product_0"]),
        *(
            helper.make_node("MatMul", [f"product_{number}", "turned"], [f"product_{number + 1}"])
            for number in range(products)
        ),
        helper.make_node("Slice", [f"product_{products}", "zero", "one", "one"], ["first_column"]),
        helper.make_node("ReduceSum", ["first_column"], ["counted"], keepdims=0),
    ]


def in_memory() -> list[Any]:
    """Count numbers that all have room at once."""
    return [
        helper.make_node("Expand", ["float_one", "count"], ["ones"]),
        helper.make_node("ReduceSum", ["ones"], ["counted"], keepdims=0),
    ]


def in_fours() -> list[Any]:
    """Count in fours; what is left over makes the run fail."""
    return [
        helper.make_node("Expand", ["float_one", "count"], ["ones"]),
        helper.make_node("Reshape", ["ones", "in_fours"], ["fours"]),
        helper.make_node("ReduceSum", ["fours"], ["counted"], keepdims=0),
    ]


def in_a_loop() -> list[Any]:
    """Take a step for each."""
    step = helper.make_graph(
        [
            helper.make_node("Identity", ["going_on"], ["still_going_on"]),
            helper.make_node("Add", ["sum", "float_one"], ["next_sum"]),
        ],
        "step",
        [
            helper.make_tensor_value_info("iteration", TensorProto.INT64, []),
            helper.make_tensor_value_info("going_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("still_going_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next_sum", TensorProto.FLOAT, [1]),
        ],
    )
    return [
        helper.make_node("Cast", ["zero"], ["float_zero"], to=TensorProto.FLOAT),
        helper.make_node("Loop", ["count", "true", "float_zero"], ["counted"], body=step),
    ]
