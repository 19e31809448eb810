"""Trace the model into one ONNX graph for all padded lengths, or for those of a kind of attention, and any batch size.

The tracer takes a second for every layer, and all layers are alike, so it gets a template with one of them, and that is
repeated in the graph (`repeated_layers`). The template's weights are random and all different: the tracer names weights
as it likes, stores linear maps transposed and makes one of two that are equal, so it is by their contents that they get
the names of the model's parameters back (`encoder.layers.0.attention.query.weight.transposed`).

What is traced is the checkpoint's model in the number format of the bundle and with one of the attention kernels
(`traced_model`).
"""

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch
from torch import nn

from bigbird_inference.manifest import AttentionKernelName, Precision
from bigbird_inference.tasks.signature import BATCH_AXIS, LENGTH_AXIS
from model_export.errors import ExportError
from model_export.export.buckets import GraphPlan
from model_export.export.joined_attention import join_attention
from model_export.export.repeated_layers import MarkedLayer, repeat_layer
from model_export.export.signature import Signature
from model_export.nn.attention_kernels import with_kernel
from model_export.nn.block_sparse_attention import table_constant
from model_export.nn.model import BigBird
from model_export.nn.precision import halved

AttentionChoice = Literal["composed", "fused", "both"]

HALF_TYPES: dict[Precision, torch.dtype] = {"fp16": torch.float16, "bf16": torch.bfloat16}


def attention_kernels(precision: Precision, asked: AttentionChoice | None) -> tuple[AttentionKernelName, ...]:
    """Return the kernels that a bundle has graphs of: those asked for, or the precision's own.

    Half precision has both: a GPU takes the fused one where it works, and the composed one is what it is compared with.

    Raises:
        ExportError: The two do not go together.
    """
    if precision == "int8" and asked in ("fused", "both"):
        raise ExportError("attention: fused is for fp32, fp16 and bf16; int8 is for CPUs, where it would gain nothing")
    choice = asked or ("both" if precision in HALF_TYPES else "composed")
    return ("composed", "fused") if choice == "both" else (choice,)


def graphs_of(
    precision: Precision, kernel: AttentionKernelName, plans: Sequence[GraphPlan]
) -> list[Sequence[GraphPlan]]:
    """Return which kinds of attention have a graph in common.

    All of them on a CPU, where a graph more would be a copy of the weights more. Graphs for GPUs stay apart: there each
    run of the one kind would start the other's kernels for nothing.
    """
    for_cpus = precision not in HALF_TYPES and kernel == "composed"
    joined = for_cpus and len(plans) > 1 and not any(_has_one_length(plan) for plan in plans)
    return [plans] if joined else [[plan] for plan in plans]


def traced_model(model: BigBird, precision: Precision, kernel: AttentionKernelName) -> BigBird:
    """Return the model to trace.

    Args:
        model: The checkpoint's, in float32, with the composed kernel. It stays as it is.
        precision: Of the bundle; int8 products are made of float32 ones after tracing.
        kernel: Of the graph.
    """
    if kernel != "composed":
        model = with_kernel(model, kernel)
    return halved(model, HALF_TYPES[precision]) if precision in HALF_TYPES else model


OPSET = 20
TRANSPOSED, FIRST_ROWS = ".transposed", ".first_rows"

# An axis of one would be traced as a constant, and axes of the same size as one axis.
_EXAMPLE_BATCH, _EXAMPLE_POSITIONS = 2, 3
# Larger float constants that are not parameters would be weights in disguise.
_LARGEST_CONSTANT_BYTES = 1024
_COMPARED_NUMBERS = 16
_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)

Array = npt.NDArray[Any]


def trace(model: BigBird, signature: Signature, plans: Sequence[GraphPlan]) -> ir.Model:
    """Return a graph; its weights have the names of their parameters and are still inside.

    Its axes are called as in the signature. The metadata that the tracer leaves (stack traces, source paths) is taken
    out.

    Args:
        model: A model in evaluation mode.
        signature: The graph's inputs and outputs.
        plans: The padded lengths that the graph takes, of one kind of attention or of both (`graphs_of`).

    Raises:
        ExportError: The graph holds a large float tensor that is none of the parameters.
    """
    whole = _has_one_length(plans[-1])
    template = _template(model, whole=whole, marks_attention=len(plans) > 1)
    graph = _traced(template, signature, plans[0])
    if len(plans) > 1:
        short, long = plans
        join_attention(graph, _traced(template, signature, long), short, long, model.config.hidden_size)
    if not whole:
        blocks = model.encoder.random_blocks if plans[-1].attention == "block_sparse" else []
        repeat_layer(graph.graph, len(model.encoder.layers), [table_constant(own) for own in blocks])
    _put_weights(graph, parameter_arrays(model))
    return graph


def _has_one_length(plan: GraphPlan) -> bool:
    """Tell whether the tracer computes constants of the random blocks, which then cannot be exchanged."""
    return plan.shortest == plan.longest


def _traced(template: BigBird, signature: Signature, plan: GraphPlan) -> ir.Model:
    graph = _export(template, signature, plan)
    _strip_metadata(graph)
    _name_axes(graph, signature)
    _name_weights(graph, parameter_arrays(template))
    return graph


def parameter_arrays(model: nn.Module) -> dict[str, Array]:
    """Return the tensors of a model by name; NumPy knows bfloat16 through the type that ONNX brings."""
    return {name.replace(MarkedLayer.PREFIX, ""): _as_array(tensor) for name, tensor in model.state_dict().items()}


def _as_array(tensor: torch.Tensor) -> Array:
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ir.DataType.BFLOAT16.numpy())
    array: Array = tensor.numpy()
    return array


def _template(model: BigBird, *, whole: bool, marks_attention: bool = False) -> BigBird:
    """Return a model with random weights and, unless the whole is wanted, with one layer that is marked."""
    layers = [] if whole else list(model.encoder.layers)[1:]
    template = copy.deepcopy(model, {id(layer): layer for layer in layers})
    if not whole:
        template.encoder.layers = nn.ModuleList(
            [MarkedLayer(template.encoder.layers[0], marks_attention=marks_attention)]
        )
        template.encoder.random_blocks = template.encoder.random_blocks[:1]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in template.parameters():
            parameter.normal_(generator=generator)
    return template


def _export(model: BigBird, signature: Signature, plan: GraphPlan) -> ir.Model:
    example_length, length_axis = _length_axis(plan)
    sizes = {BATCH_AXIS: _EXAMPLE_BATCH, LENGTH_AXIS: example_length}
    axes = {tensor.name: [str(axis) for axis in tensor.shape] for tensor in signature.inputs}
    # A tensor of its own for each input: one that is given several times becomes one input.
    examples = tuple(
        torch.ones(*(sizes.get(axis, _EXAMPLE_POSITIONS) for axis in own), dtype=torch.int64) for own in axes.values()
    )
    dynamic = {
        name: {number: length_axis if axis == LENGTH_AXIS else axis for number, axis in enumerate(own)}
        for name, own in axes.items()
    }
    with _quiet():
        program = torch.onnx.export(
            model,
            examples,
            dynamo=True,
            dynamic_shapes=dynamic,
            input_names=list(axes),
            output_names=[tensor.name for tensor in signature.outputs],
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    graph: ir.Model = program.model
    return graph


def _length_axis(plan: GraphPlan) -> tuple[int, Any]:
    """Return a length to trace with, inside the range, and what the tracer is told of the axis."""
    if plan.shortest == plan.longest:
        return plan.longest, None
    steps = (plan.longest - plan.shortest) // plan.step
    example = plan.shortest + max(1, steps // 4) * plan.step
    if plan.step == 1:
        return example, torch.export.Dim("length", min=plan.shortest, max=plan.longest)
    blocks = torch.export.Dim("blocks", min=plan.shortest // plan.step, max=plan.longest // plan.step)
    return example, plan.step * blocks


def _name_axes(model: ir.Model, signature: Signature) -> None:
    """Call the axes of inputs and outputs by their names; onnxruntime infers what lies between."""
    described = {tensor.name: tensor.shape for tensor in (*signature.inputs, *signature.outputs)}
    for node in model.graph.all_nodes():
        for output in node.outputs:
            output.shape = None
    for value in (*model.graph.inputs, *model.graph.outputs):
        assert value.name is not None
        value.shape = ir.Shape(described[value.name])


def _name_weights(model: ir.Model, parameters: Mapping[str, Array]) -> None:
    """Give the template's weights the names of the parameters that they are."""
    names = {_fingerprint(array.T): f"{name}{TRANSPOSED}" for name, array in parameters.items() if array.ndim == 2}
    names |= {_fingerprint(array): name for name, array in parameters.items()}
    initializers = model.graph.initializers
    for old_name, value in list(initializers.items()):
        if value.const_value is None or value.const_value.dtype not in _FLOATS:
            continue
        array = value.const_value.numpy()
        name = names.get(_fingerprint(array)) or _first_rows_of(array, parameters)
        if name is None and array.nbytes > _LARGEST_CONSTANT_BYTES:
            raise ExportError(f"graph: the constant {old_name} {list(array.shape)} is not a parameter")
        if name is not None and name != old_name:
            del initializers[old_name]
            value.name = name
            initializers[name] = value


def _first_rows_of(array: Array, parameters: Mapping[str, Array]) -> str | None:
    """Return the name of a parameter's first rows: what a graph of a single length takes of the position embeddings."""
    for name, parameter in parameters.items():
        if parameter.ndim == array.ndim == 2 and np.array_equal(parameter[: len(array)], array):
            return f"{name}{FIRST_ROWS}"
    return None


def _put_weights(model: ir.Model, parameters: Mapping[str, Array]) -> None:
    """Put the model's weights in the place of the template's."""
    for name, value in model.graph.initializers.items():
        own = name.removesuffix(TRANSPOSED).removesuffix(FIRST_ROWS)
        if own in parameters and value.const_value is not None:
            array = parameters[own].T if name.endswith(TRANSPOSED) else parameters[own]
            if name.endswith(FIRST_ROWS):
                array = array[: value.const_value.shape[0]]
            value.const_value = ir.tensor(np.ascontiguousarray(array), name=name)


def _fingerprint(array: Array) -> tuple[tuple[int, ...], bytes]:
    """Return what tells a tensor of random numbers from every other one: its shape and its first numbers."""
    return array.shape, np.asarray(array.flat[:_COMPARED_NUMBERS]).tobytes()


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
