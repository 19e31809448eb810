"""A rung: the graphs whose attention is onnxruntime's operator MultiHeadAttention, for which it has fused kernels.

- Which kernel runs is onnxruntime's choice, by the GPU and the shape; without any it computes the same in several steps
  (`com.microsoft.MultiHeadAttention`,
  https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MultiHeadAttention).
- They lay out sequences times heads along an axis of the grid, which has at most 65,535 blocks
  (https://docs.nvidia.com/cuda/cuda-c-programming-guide/#features-and-technical-specifications-technical-specifications-per-compute-capability).
"""

from functools import partial

from bigbird_inference.runtime.cuda.levels import Level, LoadedGraph, LoadOptions
from bigbird_inference.runtime.session import Shape

_LONGEST_GRID_AXIS = 65_535


def load_options(options: LoadOptions) -> LoadOptions:
    """Return how the graphs are to be loaded for this rung."""
    return options._replace(kernel="fused")


def open_level(graph: LoadedGraph) -> Level:
    """Return the rung on a loaded graph."""
    return Level("fused_attention", graph.ordinary(), partial(_can_be_laid_out, graph), same_graph=False)


def _can_be_laid_out(graph: LoadedGraph, shape: Shape) -> bool:
    manifest = graph.manifest
    # Each block of queries between the first and the last is a sequence of its own.
    sequences = 1 if graph.attention == "full" else shape.length // manifest.block_size - 2
    return shape.rows * sequences * manifest.model["num_attention_heads"] <= _LONGEST_GRID_AXIS
