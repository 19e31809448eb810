"""A half-precision graph in float32: the same nodes and weights, so that machines without half kernels can run it."""

import numpy as np
import onnx_ir as ir

HALF_TYPES = frozenset({ir.DataType.FLOAT16, ir.DataType.BFLOAT16})


def widen(graph: ir.Model) -> None:
    """Make every half-precision value of a graph a float32 one, in place; what the weights hold stays the same."""
    for value in graph.graph.initializers.values():
        if value.const_value is not None and value.const_value.dtype in HALF_TYPES:
            value.const_value = _widened(value.const_value)
            value.dtype = ir.DataType.FLOAT
    for node in graph.graph.all_nodes():
        for name, attribute in list(node.attributes.items()):
            if attribute.type == ir.AttributeType.TENSOR and attribute.value.dtype in HALF_TYPES:
                node.attributes[name] = ir.AttrTensor(name, _widened(attribute.value))
            if node.op_type == "Cast" and name == "to" and attribute.value in HALF_TYPES:
                node.attributes[name] = ir.AttrInt64(name, ir.DataType.FLOAT)
        for output in node.outputs:
            if output.dtype in HALF_TYPES:
                output.dtype = ir.DataType.FLOAT


def _widened(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    return ir.tensor(np.asarray(tensor.numpy()).astype(np.float32), name=tensor.name)
