"""A traced layer, repeated: all layers of the encoder compute the same with other weights.

Two marks around the traced layer tell where it begins and ends. Its nodes are those between the marks, and where a
layer has random blocks of its own also those that come from its table.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
import torch
from torch import nn

from model_export.export.graph_editing import add_initializer, copied_node, mark, take_out_mark
from model_export.export.joined_attention import MarkedAttention
from model_export.nn.attention import AttentionLayout

_BEGINNING, _END = "LayerBeginning", "LayerEnd"
_FIRST = "encoder.layers.0."


class MarkedLayer(nn.Module):
    """A layer of the encoder between two marks.

    Args:
        layer: The layer.
        marks_attention: Whether its attention is marked, too.
    """

    PREFIX = "marked."

    def __init__(self, layer: nn.Module, *, marks_attention: bool = False) -> None:
        super().__init__()
        self.marked = layer
        self._marks_attention = marks_attention

    def forward(self, hidden: torch.Tensor, layout: AttentionLayout) -> torch.Tensor:
        """Map `[batch, length, hidden]` to the same shape; only to be traced."""
        if self._marks_attention:
            layout = MarkedAttention(layout)
        return mark(_END, self.marked(mark(_BEGINNING, hidden), layout))


def repeat_layer(graph: ir.Graph, layers: int, tables: Sequence[np.ndarray]) -> None:
    """Repeat the marked layer, in place.

    The further layers use weights that are called as those of the first, with their own number
    (`encoder.layers.3.attention.query.bias`); they are still those of the first.

    Args:
        graph: A traced graph with one marked layer.
        layers: How many there are to be, the marked one included.
        tables: The constant of each layer's random blocks, if block-sparse; empty tables are not in the graph.
    """
    beginning, end = (take_out_mark(graph, name) for name in (_BEGINNING, _END))
    table = _table(graph, tables[0]) if tables and tables[0].size else None
    nodes = _nodes_of_layer(graph, beginning, end, table)
    consumers = [use for use in end.uses() if use.node not in nodes]
    outputs = [number for number, value in enumerate(graph.outputs) if value is end]
    hidden, after = end, nodes[-1]
    for layer in range(1, layers):
        values = {beginning: hidden}
        if table is not None:
            values[table] = add_initializer(graph, f"encoder.layers.{layer}.random_blocks", ir.tensor(tables[layer]))
        for node in nodes:
            for value in node.inputs:
                if value is not None and (value.name or "").startswith(_FIRST) and value not in values:
                    name = f"encoder.layers.{layer}.{(value.name or '').removeprefix(_FIRST)}"
                    values[value] = add_initializer(graph, name, value.const_value)
            copied = copied_node(node, values)
            graph.insert_after(after, copied)
            after = copied
        hidden = values[end]
    for use in consumers:
        use.node.replace_input_with(use.idx, hidden)
    if outputs and hidden is not end:
        hidden.name, end.name, hidden.shape = end.name, hidden.name, end.shape
    for number in outputs:
        graph.outputs[number] = hidden


def _table(graph: ir.Graph, constant: np.ndarray) -> ir.Value:
    """Return the initializer that holds the traced layer's random blocks."""
    for value in graph.initializers.values():
        tensor = value.const_value
        if tensor is not None and tensor.shape == constant.shape and np.array_equal(tensor.numpy(), constant):
            return value
    raise AssertionError("the table of the random blocks is not in the graph")


def _nodes_of_layer(graph: ir.Graph, beginning: ir.Value, end: ir.Value, table: ir.Value | None) -> list[ir.Node]:
    """Return what is computed from the layer's input or its table, and is needed for its output, in order."""
    own = {beginning} if table is None else {beginning, table}
    forward = []
    for node in graph:
        if own.intersection(value for value in node.inputs if value is not None):
            own.update(node.outputs)
            forward.append(node)
    needed = {end}
    nodes = []
    for node in reversed(forward):
        if needed.intersection(node.outputs):
            needed.update(value for value in node.inputs if value is not None and value is not beginning)
            nodes.append(node)
    return nodes[::-1]
