"""One graph for both kinds of attention, so that its weights are loaded once, and packed once.

All but attention is the same for every length. Attention stands in the graph twice, and each kind takes a part of the
batch: all of it or, where the padded length belongs to the other kind, none of it.

    query, key, value ── the first n documents ──> full attention ──────────┐
                      └─ the others ─────────────> block-sparse attention ──┴─ context

n is the size of the batch up to the longest length with full attention, and 0 beyond. Runtimes skip what has no
elements. `If` would say the same, but what OpenVINO 2026.4 computes with it is wrong after a shape has grown.

The layer is traced once with each kind; marks tell where its attention begins and ends.
"""

import onnx_ir as ir
import onnx_ir.passes.common as passes
import torch

from bigbird_inference.tasks.signature import BATCH_AXIS, LENGTH_AXIS
from model_export.export.buckets import GraphPlan
from model_export.export.graph_editing import add_initializer, copied_node, find_mark, mark, take_out_mark
from model_export.nn.attention import AttentionLayout, Dropout

_STATES = ("Query", "Key", "Value")
_CONTEXT = "Context"
_BLOCK_SPARSE = "block_sparse."
_PER_TOKEN = ir.Shape([BATCH_AXIS, LENGTH_AXIS])


class MarkedAttention:
    """A layout whose attention stands between marks.

    Args:
        layout: The layout.
    """

    def __init__(self, layout: AttentionLayout) -> None:
        self._layout = layout

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, dropout: Dropout
    ) -> torch.Tensor:
        """Attend; see `AttentionLayout`."""
        query, key, value = (mark(name, of) for name, of in zip(_STATES, (query, key, value), strict=True))
        return mark(_CONTEXT, self._layout.attend(query, key, value, heads, dropout))


def join_attention(full: ir.Model, block_sparse: ir.Model, short: GraphPlan, long: GraphPlan, width: int) -> None:
    """Put the marked attention of a block-sparse graph beside that of a graph of full attention, in place.

    Args:
        full: With one marked layer; it takes every padded length then.
        block_sparse: The same with the other kind of attention.
        short: The lengths of full attention.
        long: The lengths of block-sparse attention.
        width: Of the hidden states.
    """
    graph, other = full.graph, block_sparse.graph
    batch = _DividedBatch(graph, short, long, width)
    of_full, of_block_sparse = {}, {}
    for name in (value.name for value in graph.inputs if value.shape == _PER_TOKEN):
        own = _input(graph, name)
        of_full[own], of_block_sparse[_input(other, name)] = batch.divided(own, batch.long_tokens)
    for name in _STATES:
        states = find_mark(graph, name).inputs[0]
        assert states is not None
        inside, inside_other = find_mark(graph, name).outputs[0], find_mark(other, name).outputs[0]
        of_full[inside], of_block_sparse[inside_other] = batch.divided(states, batch.long_states)
    context = batch.joined(_copied(graph, graph, of_full), _copied(other, graph, of_block_sparse))
    ir.convenience.replace_all_uses_with(find_mark(graph, _CONTEXT).outputs[0], context)
    for name in (_CONTEXT, *_STATES):
        take_out_mark(graph, name)
    passes.RemoveUnusedNodesPass()(full)


class _DividedBatch:
    """What divides a batch between the two kinds of attention, written before the mark of the context.

    Args:
        graph: Where it is written.
        short: The lengths of the first kind.
        long: The lengths of the second.
        width: Of the hidden states.

    Attributes:
        long_tokens: Shape of the second kind's part of `[batch, length]`.
        long_states: Shape of its part of `[batch, length, hidden]`.
    """

    def __init__(self, graph: ir.Graph, short: GraphPlan, long: GraphPlan, width: int) -> None:
        self._graph = graph
        hidden = self._constant("width", width)
        mask = _input(graph, "attention_mask")
        batch, length = (self._add("Shape", mask, start=axis, end=axis + 1) for axis in range(2))
        is_long = self._add("Greater", length, self._constant("longest_full", short.longest))
        first = self._add("Where", is_long, self._constant("zero", 0), batch)
        others = self._add("Sub", batch, first)
        self._sizes = self._add("Concat", first, others, axis=0)
        # Block-sparse attention is laid out even for no documents, and cannot be for less than its shortest length.
        laid_out = self._add("Max", length, self._constant("shortest_block_sparse", long.shortest))
        self.long_tokens = self._add("Concat", others, laid_out, axis=0)
        self.long_states = self._add("Concat", others, laid_out, hidden, axis=0)
        self._long_context = self._add("Concat", others, length, hidden, axis=0)

    def divided(self, value: ir.Value, shape: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Return what full attention takes of a value, batch axis first, and what block-sparse attention does.

        Args:
            value: The value.
            shape: Of the second part: `long_tokens` or `long_states`.
        """
        split = ir.node("Split", [value, self._sizes], {"axis": 0}, num_outputs=2)
        self._graph.insert_before(find_mark(self._graph, _CONTEXT), split)
        first, others = split.outputs
        return first, self._add("Reshape", others, shape, allowzero=1)

    def joined(self, short: ir.Value, long: ir.Value) -> ir.Value:
        """Return the contexts of the batch."""
        return self._add("Concat", short, self._add("Reshape", long, self._long_context, allowzero=1), axis=0)

    def _constant(self, name: str, number: int) -> ir.Value:
        return add_initializer(self._graph, f"joined.{name}", ir.tensor([number], dtype=ir.DataType.INT64))

    def _add(self, operator: str, *inputs: ir.Value, **attributes: int) -> ir.Value:
        node = ir.node(operator, inputs, attributes)
        self._graph.insert_before(find_mark(self._graph, _CONTEXT), node)
        return node.outputs[0]


def _input(graph: ir.Graph, name: str | None) -> ir.Value:
    return next(value for value in graph.inputs if value.name == name)


def _copied(source: ir.Graph, destination: ir.Graph, values: dict[ir.Value, ir.Value]) -> ir.Value:
    """Copy what the marked context is computed with, and return the copy's context.

    Args:
        source: Where attention stands between marks.
        destination: Where the copy is put before the mark of the context.
        values: What takes the place of attention's inputs; copied values are added.
    """
    context = find_mark(source, _CONTEXT).inputs[0]
    assert context is not None
    needed, nodes = {context}, []
    for node in reversed(source):
        if needed.intersection(node.outputs) and not values.keys() & set(node.outputs):
            needed.update(value for value in node.inputs if value is not None)
            nodes.append(node)
    if source is not destination:
        for value in [value for value in needed if value.is_initializer()]:
            values[value] = add_initializer(destination, f"{_BLOCK_SPARSE}{value.name}", value.const_value)
    for node in reversed(nodes):
        destination.insert_before(find_mark(destination, _CONTEXT), copied_node(node, values))
    return values[context]
