"""Trace the model into one ONNX graph with a fixed padded length and any batch size."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import onnx_ir as ir
import torch

from model_export.export.signature import LENGTH_AXIS, Signature
from model_export.nn.model import BigBird

OPSET = 20
# An axis of one would be traced as a constant, and axes of the same size as one axis.
_EXAMPLE_SIZES = (2, 3)


def trace(model: BigBird, signature: Signature, length: int) -> ir.Model:
    """Return the graph of a bucket; its weights are still inside.

    The metadata that the tracer leaves (stack traces, source paths) is taken out.

    Args:
        model: A model in evaluation mode.
        signature: The graph's inputs and outputs.
        length: Padded length in tokens.
    """
    inputs = {tensor.name: [str(axis) for axis in tensor.shape] for tensor in signature.inputs}
    # A tensor of its own for each input: one that is given several times becomes one input.
    examples = tuple(
        torch.ones(
            *(length if axis == LENGTH_AXIS else size for axis, size in zip(axes, _EXAMPLE_SIZES, strict=True)),
            dtype=torch.int64,
        )
        for axes in inputs.values()
    )
    with _quiet():
        program = torch.onnx.export(
            model,
            examples,
            dynamo=True,
            dynamic_shapes={
                name: {number: axis for number, axis in enumerate(axes) if axis != LENGTH_AXIS}
                for name, axes in inputs.items()
            },
            input_names=list(inputs),
            output_names=[tensor.name for tensor in signature.outputs],
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    graph: ir.Model = program.model
    _strip_metadata(graph)
    return graph


def _strip_metadata(model: ir.Model) -> None:
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for output in node.outputs:
            output.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.outputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
        value.doc_string = None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the tracer's progress prints and deprecation warnings away from the user's terminal."""
    exporter_log = logging.getLogger("torch.onnx")
    level = exporter_log.level
    exporter_log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        exporter_log.setLevel(level)
