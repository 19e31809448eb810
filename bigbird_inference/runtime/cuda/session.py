"""A graph on a GPU: ordinary runs, and CUDA graphs of the shapes where they pay.

An ordinary run leaves all copying to onnxruntime. A recorded shape has inputs and outputs that never move
(`bigbird_inference.runtime.cuda.recordings`), and all its kernels are launched together.

onnxruntime keeps recordings for each thread, so `capture` and every run must be called on the same one: the executor's.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bigbird_inference.manifest import Tensor
from bigbird_inference.runtime.cuda.recordings import Recording, Recordings
from bigbird_inference.runtime.onnx_session import OnnxSession
from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime
from bigbird_inference.runtime.session import (
    Batch,
    DeviceLost,
    OutOfMemory,
    Outputs,
    RunControl,
    RunTerminated,
    Shape,
    meaning_of,
)

logger = logging.getLogger(__name__)

_GRAPH_ID = "gpu_graph_id"
_NO_GRAPH = "-1"
# A recording keeps memory of the GPU for its kernels' arguments, its inputs and its outputs.
MOST_RECORDINGS = 32
# A recording must save at least this share of an ordinary run's time. Where the kernels take longer than it takes to
# launch them, it saves next to nothing.
LEAST_GAIN = 0.03
# Before a recording: ordinary runs, in which the arena and the libraries take the memory that they need.
_ORDINARY_RUNS = 2
# onnxruntime itself runs a new id twice as usual and records the third run; the fourth is a replay.
_RECORDING_RUNS = 4
_TIMED_RUNS = 3
# A replay runs the kernels of an ordinary run; half precision may sum in another order.
_LARGEST_DIFFERENCE = 0.01


class CudaSession:
    """One graph, loaded on one GPU.

    Args:
        session: The loaded graph.
        inputs: What the graph takes.
        outputs: What it gives.
        captures: Whether the session was loaded for recording.
        device: Kind and number of the device, as onnxruntime names it.
        clock: Seconds.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        *,
        captures: bool,
        device: tuple[str, int],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._session = session
        self._ordinary = OnnxSession(session, {_GRAPH_ID: _NO_GRAPH} if captures else {})
        self._inputs = inputs
        self._outputs = outputs
        # How many positions are asked for changes from batch to batch.
        self._captures = captures and not any(tensor.name == "positions" for tensor in inputs)
        self._device = device
        self._clock = clock
        self._recordings = Recordings()
        self._next_id = 1

    def run(self, batch: Batch, control: RunControl | None = None) -> Outputs:
        """Return every output by name, float32, batch axis first.

        Raises:
            RunTerminated: The control ended the run, or had been terminated before it. A replay is never ended.
            OutOfMemory: The GPU had no room for the batch.
            DeviceLost: The GPU has failed for good.
            ValueError: The graph takes positions, and the batch has none.
        """
        recording = self._recordings.choose(Shape(*batch.input_ids.shape))
        if recording is None:
            return self._ordinary.run(batch, control)
        if control is not None and control.terminated:
            raise RunTerminated("the run's end was asked for before it began")
        return self._replay(recording, batch)

    def capture(self, shapes: Sequence[Shape]) -> Sequence[Shape]:
        """Record shapes, the smallest first, for as long as that saves time; return those recorded.

        The smaller the shape, the more of its time is launching. When one gains nothing, larger ones of its length are
        not tried. A recording that fails costs only itself, as long as an ordinary run works after it.
        """
        if not self._captures:
            return []
        ended: set[int] = set()
        failures: dict[Shape, Exception] = {}
        for shape in sorted(set(shapes), key=lambda shape: shape.rows * shape.length):
            if shape.length in ended:
                continue
            if len(self._recordings.shapes) == MOST_RECORDINGS:
                break
            try:
                if not self._record(shape):
                    ended.add(shape.length)
            except Exception as error:
                meaning = meaning_of(error)
                if isinstance(meaning, DeviceLost):
                    raise meaning from error
                failures[shape] = error
                if isinstance(meaning, OutOfMemory):
                    break
                ended.add(shape.length)
        if failures:
            shape, first_failure = next(iter(failures.items()))
            logger.warning(
                "not recorded, so every kernel is launched by itself: %s; %d sequences of %d tokens: %s",
                ", ".join(f"{rows} x {length}" for rows, length in failures),
                *shape,
                first_failure,
            )
            self._ordinary.run(_filler(shape))
        return self._recordings.shapes

    def drop_wrong_captures(self) -> Sequence[Shape]:
        """Replay everything recorded, forget all of it if one differs from an ordinary run; return what is left."""
        for recording in self._recordings.all():
            # Other tokens than those of the recording: outputs that were left there would be wrong.
            batch = _filler(recording.shape, seed=1)
            expected = self._ordinary.run(batch)
            found = self._replay(recording, batch)
            if not all(_close(found[name], expected[name]) for name in expected):
                logger.warning("a recording of %d sequences of %d tokens gives other numbers", *recording.shape)
                self.forget_captures()
                break
        return self._recordings.shapes

    def forget_captures(self) -> None:
        """Run everything as usual from now on."""
        for recording in self._recordings.all():
            self._session.release_captured_graph(recording.graph_id)
        self._recordings.forget()

    def _record(self, shape: Shape) -> bool:
        """Record a shape; return whether it was worth it."""
        batch = _filler(shape)
        for _ in range(_ORDINARY_RUNS):
            self._ordinary.run(batch)
        ordinary_seconds = self._time(lambda: self._ordinary.run(batch))
        recording = self._prepare(shape)
        for _ in range(_RECORDING_RUNS):
            self._replay(recording, batch)
        replay_seconds = self._time(lambda: self._replay(recording, batch))
        if replay_seconds > (1 - LEAST_GAIN) * ordinary_seconds:
            self._session.release_captured_graph(recording.graph_id)
            return False
        self._recordings.keep(recording, ordinary_seconds, replay_seconds)
        return True

    def _prepare(self, shape: Shape) -> Recording:
        """Make and bind the inputs and outputs of a shape, under an id that was never used."""
        recording = Recording(
            shape,
            self._next_id,
            self._session.io_binding(),
            {tensor.name: self._value(tensor, shape) for tensor in self._inputs},
            {tensor.name: self._value(tensor, shape) for tensor in self._outputs},
        )
        self._next_id += 1
        for name, value in recording.inputs.items():
            recording.binding.bind_ortvalue_input(name, value)
        for name, value in recording.outputs.items():
            recording.binding.bind_ortvalue_output(name, value)
        return recording

    def _value(self, tensor: Tensor, shape: Shape) -> onnxruntime.OrtValue:
        symbols = {"batch": shape.rows, "length": shape.length}
        axes = [axis if isinstance(axis, int) else symbols[axis] for axis in tensor.shape]
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(axes, np.dtype(tensor.dtype).type, *self._device)

    def _replay(self, recording: Recording, batch: Batch) -> Outputs:
        """Run a batch under a recording's id: the first runs are recorded, later ones repeat them."""
        options = onnxruntime.RunOptions()
        options.add_run_config_entry(_GRAPH_ID, str(recording.graph_id))
        try:
            recording.fill(batch)
            self._session.run_with_iobinding(recording.binding, options)
            return recording.read(len(batch.input_ids))
        except Exception as error:
            meaning = meaning_of(error)
            if meaning is None:
                raise
            raise meaning from error

    def _time(self, run: Callable[[], Any]) -> float:
        seconds = []
        for _ in range(_TIMED_RUNS):
            start = self._clock()
            run()
            seconds.append(self._clock() - start)
        return min(seconds)


def _filler(shape: Shape, seed: int = 0) -> Batch:
    """Return sequences without padding, of a few different tokens."""
    ids = np.random.default_rng(seed).integers(7, size=shape)
    return Batch(ids, np.ones_like(ids), np.zeros_like(ids))


def _close(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> bool:
    """Tell whether the numbers are the same but for rounding; what is not a number is never close."""
    allowed = _LARGEST_DIFFERENCE * max(float(np.abs(expected).max()), 1e-6)
    return bool((np.abs(found - expected) <= allowed).all())
