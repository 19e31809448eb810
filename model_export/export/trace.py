"""Trace the model into one ONNX graph with a fixed padded length and any batch size."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import onnx_ir as ir
import torch

from model_export.nn.model import BigBird

OPSET = 20
INPUT_NAMES = ("input_ids", "attention_mask", "token_type_ids")
OUTPUT_NAME = "logits"
BATCH_AXIS = "batch"


def trace(model: BigBird, length: int) -> ir.Model:
    """Return the graph of a bucket; its weights are still inside.

    Inputs are int64 `[batch, length]`, the output is float32 with the batch axis first. The metadata that the
    tracer leaves (stack traces, source paths) is taken out.

    Args:
        model: A model in evaluation mode.
        length: Padded length in tokens.
    """
    # Two documents: a batch of one would be traced as a constant. Three tensors: one given thrice becomes one input.
    examples = tuple(torch.ones(2, length, dtype=torch.int64) for _ in INPUT_NAMES)
    with _quiet():
        program = torch.onnx.export(
            model,
            examples,
            dynamo=True,
            dynamic_shapes={name: {0: BATCH_AXIS} for name in INPUT_NAMES},
            input_names=list(INPUT_NAMES),
            output_names=[OUTPUT_NAME],
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
