"""A bucket's graph on a GPU: inputs and outputs at fixed places, and CUDA graphs of the batch sizes where they pay.

    batch -> host side of the places -> device -> run, or replay of a recording -> new arrays on the host

onnxruntime keeps recordings for each thread, so `capture` and every run must be called on the same one: the executor's.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from service.bundle import Tensor
from service.runtime.cuda.captured_sizes import CapturedSizes, Choice
from service.runtime.cuda.dlpack import value_at
from service.runtime.cuda.staging import Place, Staging
from service.runtime.cuda.weights import PlacedWeights
from service.runtime.run_failures import meaning_of
from service.runtime.session import Batch, DeviceLost, OutOfMemory, Outputs, RunControl, RunTerminated

logger = logging.getLogger(__name__)

_ELEMENT_TYPES = {"float32": 1, "int64": 7}
_GRAPH_ID = "gpu_graph_id"
_NO_GRAPH = -1
# Before a recording: ordinary runs, in which the arena and the libraries take the memory that they need.
_ORDINARY_RUNS = 2
# onnxruntime itself runs a new id twice as usual and records the third run; the fourth is a replay.
_RECORDING_RUNS = 4
_TIMED_RUNS = 3
# A replay runs the kernels of an ordinary run; half precision may sum in another order.
_LARGEST_DIFFERENCE = 0.01
# Shapes whose bindings are kept. Only outputs at positions have so many shapes; they are not recorded.
_MOST_BINDINGS = 512


@dataclass(frozen=True, slots=True)
class _Bound:
    """Inputs and outputs of one shape, bound to their places.

    Attributes:
        binding: onnxruntime's; it does not hold the values.
        values: What it is bound to.
        inputs: Place and shape of each input by name.
        outputs: Place and shape of each output by name.
    """

    binding: onnxruntime.IOBinding
    values: list[onnxruntime.OrtValue]
    inputs: dict[str, tuple[Place, tuple[int, ...]]]
    outputs: dict[str, tuple[Place, tuple[int, ...]]]


class CudaSession:
    """One bucket's graph, loaded on one GPU.

    Args:
        session: The loaded graph.
        length: The bucket's padded length in tokens.
        inputs: What the graph takes.
        outputs: What it gives.
        staging: The device's places.
        most_rows: Sequences in the largest batch.
        captures: Whether the session was loaded for recording.
        weights: What onnxruntime reads in every run and does not hold itself; kept for as long as the session.
        clock: Seconds.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        length: int,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        staging: Staging,
        *,
        most_rows: int,
        captures: bool,
        weights: PlacedWeights | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._session = session
        self._length = length
        self._inputs = inputs
        self._outputs = outputs
        self._staging = staging
        self._most_rows = most_rows
        self._captures = captures
        self._weights = weights
        self._clock = clock
        self._sizes = CapturedSizes()
        self._expected: dict[int, Outputs] = {}
        self._bound: dict[tuple[int, int], _Bound] = {}
        self._next_id = 1

    def run(self, batch: Batch, control: RunControl | None = None) -> Outputs:
        """Return every output by name, float32, batch axis first.

        Raises:
            RunTerminated: The control ended the run, or had been terminated before it. A replay is never ended.
            OutOfMemory: The GPU had no room for the batch.
            DeviceLost: The GPU has failed for good.
            ValueError: The graph takes positions, and the batch has none.
        """
        choice = self._sizes.choose(len(batch.input_ids))
        return self._run(batch, choice, control)

    def capture(self, sizes: Sequence[int]) -> Sequence[int]:
        """Record batch sizes, the smallest first, for as long as that saves time; return those recorded.

        A recording that fails costs only itself, as long as an ordinary run works after it.
        """
        if not self._captures or any(tensor.name == "positions" for tensor in self._inputs):
            return []
        try:
            for size in sorted(sizes):
                if not self._capture_one(size):
                    break
        except OutOfMemory:
            logger.warning("no memory to record more sizes of the bucket of %d tokens", self._length)
        except DeviceLost:
            raise
        except Exception:
            logger.warning("the bucket of %d tokens is not recorded", self._length, exc_info=True)
            self.forget_captures()
        self._run(self._filler(1), Choice(1, None))
        return self._sizes.sizes

    def drop_wrong_captures(self) -> Sequence[int]:
        """Replay everything recorded, forget all of it if one differs from its ordinary run; return what is left."""
        for size in self._sizes.sizes:
            choice = self._sizes.choose(size)
            found = self._run(self._filler(size), choice)
            if not all(_close(found[name], expected) for name, expected in self._expected[size].items()):
                self.forget_captures()
                break
        return self._sizes.sizes

    def _capture_one(self, size: int) -> bool:
        """Record a size; return whether it was worth it."""
        batch = self._filler(size)
        ordinary = Choice(size, None)
        for _ in range(_ORDINARY_RUNS):
            expected = self._run(batch, ordinary)
        self._sizes.measured(size, self._time(batch, ordinary))
        replay = Choice(size, self._next_id)
        self._next_id += 1
        for _ in range(_RECORDING_RUNS):
            self._run(batch, replay)
        seconds = self._time(batch, replay)
        if not self._sizes.pays(size, seconds):
            self._release(replay)
            return False
        self._sizes.captured(size, self._next_id - 1, seconds)
        # Every row is the same.
        self._expected[size] = {name: array[:1].copy() for name, array in expected.items()}
        return True

    def _run(self, batch: Batch, choice: Choice, control: RunControl | None = None) -> Outputs:
        try:
            return self._run_bound(batch, choice, control)
        except RunTerminated:
            raise
        except Exception as error:
            meaning = meaning_of(error)
            if meaning is None:
                raise
            raise meaning from error

    def _run_bound(self, batch: Batch, choice: Choice, control: RunControl | None) -> Outputs:
        rows = len(batch.input_ids)
        positions = 0 if batch.positions is None else batch.positions.shape[1]
        self._staging.memory.use()
        bound = self._bind(choice.size, positions)
        for name, (place, shape) in bound.inputs.items():
            array: npt.NDArray[Any] | None = getattr(batch, name)
            if array is None:
                raise ValueError(f"the graph takes {name}, and the batch has none")
            staged = place.host[: _bytes(shape, np.int64)].view(np.int64).reshape(shape)
            staged[:rows] = array
            staged[rows:] = array[-1]
            self._staging.memory.copy_in(place.address, staged)
        self._session.run_with_iobinding(bound.binding, self._options(choice, control))
        outputs = {}
        for name, (place, shape) in bound.outputs.items():
            outputs[name] = np.empty((rows, *shape[1:]), dtype=np.float32)
            self._staging.memory.copy_out(place.address, outputs[name])
        return outputs

    def _options(self, choice: Choice, control: RunControl | None) -> onnxruntime.RunOptions:
        options = onnxruntime.RunOptions()
        if self._captures:
            options.add_run_config_entry(_GRAPH_ID, str(_NO_GRAPH if choice.graph_id is None else choice.graph_id))
        if control is not None:
            control.attach(partial(setattr, options, "terminate", True))
            if control.terminated:
                raise RunTerminated("the run's end was asked for before it began")
        return options

    def _bind(self, rows: int, positions: int) -> _Bound:
        """Return the binding of a shape: always the same one, because a recording is bound to its addresses."""
        if (rows, positions) not in self._bound:
            if len(self._bound) >= _MOST_BINDINGS:
                self._bound = {shape: bound for shape, bound in self._bound.items() if shape[0] in self._expected}
            self._bound[rows, positions] = self._new_binding(rows, positions)
        return self._bound[rows, positions]

    def _new_binding(self, rows: int, positions: int) -> _Bound:
        binding = self._session.io_binding()
        bound = _Bound(binding, [], {}, {})
        for tensor in self._inputs:
            shape = self._shape(tensor, rows, positions)
            largest = self._shape(tensor, max(rows, self._most_rows), positions)
            place = self._staging.input(tensor.name, _bytes(largest, np.int64))
            binding.bind_ortvalue_input(tensor.name, self._value(bound, place, shape, tensor))
            bound.inputs[tensor.name] = (place, shape)
        for tensor in self._outputs:
            shape = self._shape(tensor, rows, positions)
            known = "positions" not in tensor.shape
            largest = self._shape(tensor, max(rows, self._most_rows) if known else rows, positions)
            place = self._staging.output(tensor.name, _bytes(largest, np.float32))
            binding.bind_ortvalue_output(tensor.name, self._value(bound, place, shape, tensor))
            bound.outputs[tensor.name] = (place, shape)
        return bound

    def _value(self, bound: _Bound, place: Place, shape: Sequence[int], tensor: Tensor) -> onnxruntime.OrtValue:
        device = self._staging.memory.dlpack_device
        value = value_at(place.address, shape, _ELEMENT_TYPES[tensor.dtype], device)
        bound.values.append(value)
        return value

    def _shape(self, tensor: Tensor, rows: int, positions: int) -> tuple[int, ...]:
        symbols = {"batch": rows, "length": self._length, "positions": positions}
        return tuple(axis if isinstance(axis, int) else symbols[axis] for axis in tensor.shape)

    def _filler(self, rows: int) -> Batch:
        """A batch of equal rows as long as the bucket, of a few different tokens."""
        ids = np.tile(np.arange(self._length, dtype=np.int64) % 7, (rows, 1))
        return Batch(ids, np.ones_like(ids), np.zeros_like(ids))

    def _time(self, batch: Batch, choice: Choice) -> float:
        seconds = []
        for _ in range(_TIMED_RUNS):
            start = self._clock()
            self._run(batch, choice)
            seconds.append(self._clock() - start)
        return min(seconds)

    def _release(self, choice: Choice) -> None:
        # Only newer releases of onnxruntime can; in the others the recording stays and is never replayed.
        release = getattr(self._session, "release_captured_graph", None)
        if release is not None:
            release(choice.graph_id)

    def forget_captures(self) -> None:
        """Run everything as usual from now on."""
        for graph_id in self._sizes.ids():
            self._release(Choice(0, graph_id))
        self._sizes.forget()
        self._expected.clear()


def _bytes(shape: Sequence[int], dtype: type[np.generic]) -> int:
    return int(np.prod(shape)) * np.dtype(dtype).itemsize


def _close(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> bool:
    """Tell whether every row is the expected one, but for rounding; what is not a number is never close."""
    allowed = _LARGEST_DIFFERENCE * max(float(np.abs(expected).max()), 1e-6)
    return bool((np.abs(found - expected) <= allowed).all())
