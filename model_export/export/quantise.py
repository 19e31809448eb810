"""int8 graphs: the encoder's weights in 8 bits for each output channel, its activations quantised while the graph runs.

Dynamic quantisation takes the range of a whole activation, so a document's numbers would depend on its batch. Two
things keep the promise that they don't: an int8 bundle runs one document at a time (on CPUs a batch gains next to
nothing), and padding is a copy of the document's first token all the way through the encoder (`nn.encoder`), so it
never widens a range.

The embeddings are looked up, not multiplied, and stay in fp32. So do the products of attention, which have no weights,
and the task's head, whose few products are worth more in accuracy than in time.

    x @ W + b   ->   DynamicQuantizeLinear(x) -> MatMulInteger -> Cast -> Mul(scale of x * scales of W) -> + b

onnxruntime fuses these into one product with its integer kernels; activations that several products read are
quantised once.
"""

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

_LARGEST = 127


def quantise(graph: ir.Model, prefix: str = "encoder.") -> None:
    """Replace the products with weights by integer products, in place.

    Args:
        graph: A traced graph whose weights have their parameters' names and are still inside.
        prefix: Of the names of the weights to quantise.
    """
    quantised_inputs: dict[ir.Value, list[ir.Value]] = {}
    for node in list(graph.graph):
        weight = node.inputs[1] if node.op_type == "MatMul" else None
        if weight is None or not (weight.name or "").startswith(prefix) or weight.const_value is None:
            continue
        activation = node.inputs[0]
        assert activation is not None
        if activation not in quantised_inputs:
            to_8_bits = ir.node("DynamicQuantizeLinear", [activation], num_outputs=3)
            graph.graph.insert_before(node, to_8_bits)
            quantised_inputs[activation] = list(to_8_bits.outputs)
        _replace(graph, node, weight, *quantised_inputs[activation])
    _drop_unused_initializers(graph)


def channel_scales(weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return what an 8-bit step is worth in each column of `[in, out]`; 1 for a column of zeros."""
    largest = np.abs(weight).max(axis=0)
    return np.where(largest > 0, largest / _LARGEST, 1.0).astype(np.float32)


def _replace(
    graph: ir.Model, node: ir.Node, weight: ir.Value, values: ir.Value, scale: ir.Value, zero_point: ir.Value
) -> None:
    assert weight.const_value is not None
    floats = weight.const_value.numpy()
    scales = channel_scales(floats)
    integers = np.clip(np.round(floats / scales), -_LARGEST, _LARGEST).astype(np.int8)
    product = ir.node(
        "MatMulInteger",
        [values, _initializer(graph, f"{weight.name}.int8", integers), zero_point],
    )
    as_float = ir.node("Cast", [product.outputs[0]], attributes={"to": ir.DataType.FLOAT})
    both_scales = ir.node("Mul", [scale, _initializer(graph, f"{weight.name}.scales", scales)])
    scaled = ir.node("Mul", [as_float.outputs[0], both_scales.outputs[0]])
    graph.graph.insert_before(node, [product, as_float, both_scales, scaled])
    scaled.outputs[0].shape, scaled.outputs[0].type = node.outputs[0].shape, node.outputs[0].type
    ir.convenience.replace_all_uses_with(node.outputs[0], scaled.outputs[0], replace_graph_outputs=True)
    graph.graph.remove(node, safe=True)


def _initializer(graph: ir.Model, name: str, array: npt.NDArray[np.generic]) -> ir.Value:
    initializers = graph.graph.initializers
    if name not in initializers:
        value = ir.Value(
            name=name,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
            const_value=ir.tensor(array, name=name),
        )
        initializers[name] = value
    return initializers[name]


def _drop_unused_initializers(graph: ir.Model) -> None:
    initializers = graph.graph.initializers
    for name in [name for name, value in initializers.items() if not value.uses()]:
        del initializers[name]
