"""Changes to traced graphs: marks, copies of nodes, further initializers.

A mark is an operator that no runtime knows. Put around a part of the model before it is traced, marks tell where in the
graph that part begins and ends.
"""

import onnx_ir as ir
import torch

_DOMAIN = "bigbird"


def mark(name: str, states: torch.Tensor) -> torch.Tensor:
    """Return the same tensor with a mark on it; only to be traced."""
    marked: torch.Tensor = torch.onnx.ops.symbolic(
        f"{_DOMAIN}::{name}", (states,), dtype=states.dtype, shape=states.shape, version=1
    )
    return marked


def find_mark(graph: ir.Graph, name: str) -> ir.Node:
    """Return the node that is a mark."""
    return next(node for node in graph if (node.domain, node.op_type) == (_DOMAIN, name))


def take_out_mark(graph: ir.Graph, name: str) -> ir.Value:
    """Take a mark out of the graph, and return the value that it marked."""
    node = find_mark(graph, name)
    marked, output = node.inputs[0], node.outputs[0]
    assert marked is not None
    if output.is_graph_output():
        marked.name, marked.shape, output.name = output.name, output.shape, marked.name
    ir.convenience.replace_all_uses_with(output, marked, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    graph.opset_imports.pop(_DOMAIN, None)
    return marked


def copied_node(node: ir.Node, values: dict[ir.Value, ir.Value]) -> ir.Node:
    """Return a copy of a node.

    Args:
        node: The node.
        values: What takes the place of its inputs; others stay. The copy's outputs are added under its own.
    """
    copied = ir.Node(
        node.domain,
        node.op_type,
        [None if value is None else values.get(value, value) for value in node.inputs],
        list(node.attributes.values()),
        num_outputs=len(node.outputs),
        version=node.version,
    )
    for value, own in zip(node.outputs, copied.outputs, strict=True):
        values[value] = own
        own.type = value.type
    return copied


def add_initializer(graph: ir.Graph, name: str, tensor: ir.TensorProtocol | None) -> ir.Value:
    """Return a new initializer of a graph."""
    assert tensor is not None
    shape, kind = ir.Shape(tensor.shape.numpy()), ir.TensorType(tensor.dtype)
    value = ir.Value(name=name, shape=shape, type=kind, const_value=tensor)
    graph.initializers[name] = value
    return value
