"""A rung: inputs and outputs of a shape at places on the GPU that are taken once, and not anew in every run.

- An `IOBinding` binds inputs and outputs to memory on the device
  (https://onnxruntime.ai/docs/performance/tune-performance/iobinding.html).
- `OrtValue.update_inplace` copies into that memory, `OrtValue.numpy` out of it
  (https://onnxruntime.ai/docs/api/python/api_summary.html#ortvalue).
"""

from functools import partial

import numpy as np

from bigbird_inference.manifest import Tensor
from bigbird_inference.runtime.cuda.levels import Level, LoadedGraph, LoadOptions, run_options
from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime
from bigbird_inference.runtime.session import Batch, Outputs, RunControl, Shape, meaning_of

# Each keeps memory of the GPU; what is asked for beyond runs on the rung below.
MOST_SHAPES = 64


def load_options(options: LoadOptions) -> LoadOptions:
    """Return how the graphs are to be loaded for this rung: as they are."""
    return options


def open_level(graph: LoadedGraph) -> Level:
    """Return the rung on a loaded graph."""
    session = BoundSession(graph)
    return Level("iobinding", session, session.serves)


class Places:
    """The inputs and outputs of a shape, bound to memory of their own.

    Args:
        graph: Whose they are.
        shape: Sequences and tokens.
    """

    def __init__(self, graph: LoadedGraph, shape: Shape) -> None:
        self._graph = graph
        self._binding = graph.session.io_binding()
        self._inputs = {tensor.name: _value(graph, tensor, shape) for tensor in graph.manifest.inputs}
        self._outputs = {tensor.name: _value(graph, tensor, shape) for tensor in graph.manifest.outputs}
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)

    def run(self, batch: Batch, options: onnxruntime.RunOptions) -> Outputs:
        """Run a batch of the shape; raises as `Session.run`."""
        try:
            for name, value in self._inputs.items():
                value.update_inplace(getattr(batch, name))
            self._graph.session.run_with_iobinding(self._binding, options)
            # From the host's memory, onnxruntime gives a view.
            return {name: value.numpy().copy() for name, value in self._outputs.items()}
        except Exception as error:
            meaning = meaning_of(error)
            if meaning is None:
                raise
            raise meaning from error


def _value(graph: LoadedGraph, tensor: Tensor, shape: Shape) -> onnxruntime.OrtValue:
    symbols = {"batch": shape.rows, "length": shape.length}
    axes = [axis if isinstance(axis, int) else symbols[axis] for axis in tensor.shape]
    return onnxruntime.OrtValue.ortvalue_from_shape_and_type(axes, np.dtype(tensor.dtype).type, *graph.device)


class BoundSession:
    """A graph whose shapes get places when they are first run.

    Args:
        graph: The loaded graph.
    """

    def __init__(self, graph: LoadedGraph) -> None:
        self._graph = graph
        self._places: dict[Shape, Places] = {}

    def serves(self, shape: Shape) -> bool:
        """Tell whether a shape has places, or may get some."""
        return shape in self._places or len(self._places) < MOST_SHAPES

    def run(self, batch: Batch, control: RunControl | None = None) -> Outputs:
        """Return every output by name; see `Session.run`."""
        shape = Shape(*batch.input_ids.shape)
        places = self._places.get(shape)
        if places is None:
            places = self._places[shape] = Places(self._graph, shape)
        options = run_options(self._graph.run_config)
        if control is not None:
            control.attach(partial(setattr, options, "terminate", True))
        return places.run(batch, options)
