"""A rung: the work of frequent shapes, recorded once as CUDA graphs; a replay launches all its kernels at once.

What onnxruntime says of it (https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html#using-cuda-graphs-preview):

- `enable_cuda_graph` loads a graph for it, or refuses, if an operator other than arithmetic on shapes would not run on
  the GPU.
- The run option `gpu_graph_id` names a recording, and -1 a run without. The first run of a name records it, every later
  one repeats that, in the shape and at the addresses of the recording, whatever it is given.
- Recordings stay as long as the session; nothing releases them.

What its sources say (onnxruntime/core/providers/cuda/cuda_graph.cc and cuda_execution_provider.h):

- Recordings are kept for each thread, so whatever records must be on the thread that runs batches: the executor's.
- They are made in the mode in which CUDA forbids taking memory on any thread meanwhile
  (https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__STREAM.html, cudaStreamCaptureModeGlobal): so only at
  the end of warm-up, one device after the other, and not while others serve.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from bigbird_inference.runtime.cuda.iobinding import Places
from bigbird_inference.runtime.cuda.levels import (
    LEAST_GAIN,
    Level,
    LoadedGraph,
    LoadOptions,
    filler,
    largest_difference,
    least_seconds,
    run_options,
)
from bigbird_inference.runtime.session import (
    Batch,
    OutOfMemory,
    Outputs,
    RunControl,
    RunTerminated,
    Shape,
    meaning_of,
)

_GRAPH_ID = "gpu_graph_id"
# Each keeps memory of the GPU for its kernels' arguments, its inputs and its outputs.
MOST_RECORDINGS = 32


def load_options(options: LoadOptions) -> LoadOptions:
    """Return how the graphs are to be loaded for this rung."""
    return options._replace(settings={"enable_cuda_graph": "1"}, run_config={_GRAPH_ID: "-1"})


def open_level(graph: LoadedGraph) -> Level:
    """Return the rung on a loaded graph."""
    session = RecordingSession(graph)
    return Level("cuda_graphs", session, session.serves, recorder=session)


class _Recording(NamedTuple):
    shape: Shape
    graph_id: int
    places: Places
    ordinary_seconds: float
    replay_seconds: float


class RecordingSession:
    """A graph with recordings of some shapes, on one thread.

    Args:
        graph: Loaded as `load_options` says.
        clock: Seconds.
    """

    def __init__(self, graph: LoadedGraph, clock: Callable[[], float] = time.perf_counter) -> None:
        self._graph = graph
        self._clock = clock
        self._recordings: dict[Shape, _Recording] = {}
        self._next_id = 1

    @property
    def shapes(self) -> list[Shape]:
        """The recorded shapes, in the order of recording."""
        return list(self._recordings)

    @property
    def seconds(self) -> tuple[float, float]:
        """What a replay of every recording takes together, and what ordinary runs of the same shapes do."""
        own = self._recordings.values()
        return sum(each.replay_seconds for each in own), sum(each.ordinary_seconds for each in own)

    def serves(self, shape: Shape) -> bool:
        """Tell whether a shape is recorded."""
        return shape in self._recordings

    def run(self, batch: Batch, control: RunControl | None = None) -> Outputs:
        """Replay a batch of a recorded shape; see `Session.run`. A replay is never ended."""
        if control is not None and control.terminated:
            raise RunTerminated("the run's end was asked for before it began")
        return self._replay(self._recordings[Shape(*batch.input_ids.shape)], batch)

    def capture(self, shapes: Sequence[Shape], *, pinned: bool = False) -> Sequence[Shape]:
        """Record shapes, the smallest first, for as long as that saves time; return all those recorded.

        The smaller the shape, the more of its time is launching. When one gains nothing, larger ones of its length are
        not tried; when one finds no memory, no other is.

        Args:
            shapes: What may be recorded; each has run before.
            pinned: Whether to keep what gains nothing.
        """
        ended: set[int] = set()
        for shape in sorted(set(shapes) - set(self._recordings), key=lambda shape: shape.rows * shape.length):
            if len(self._recordings) == MOST_RECORDINGS:
                break
            if shape.length in ended:
                continue
            try:
                recording = self._record(shape)
            except Exception as error:
                if self._recordings and isinstance(meaning_of(error), OutOfMemory):
                    break
                raise
            if pinned or recording.replay_seconds <= (1 - LEAST_GAIN) * recording.ordinary_seconds:
                self._recordings[shape] = recording
            else:
                ended.add(shape.length)
        return self.shapes

    def differences(self) -> Iterator[tuple[Shape, float]]:
        """Yield every recorded shape with the largest difference of a replay from an ordinary run."""
        ordinary = self._graph.ordinary()
        for shape, recording in self._recordings.items():
            # Other tokens than those of the recording: outputs that were left there would be wrong.
            batch = filler(shape, seed=1)
            yield shape, largest_difference(self._replay(recording, batch), ordinary.run(batch))

    def _record(self, shape: Shape) -> _Recording:
        batch = filler(shape)
        ordinary = self._graph.ordinary()
        ordinary_seconds = least_seconds(lambda: ordinary.run(batch), self._clock)
        # Never a number twice: what was recorded under it stays.
        recording = _Recording(shape, self._next_id, Places(self._graph, shape), ordinary_seconds, 0.0)
        self._next_id += 1
        self._replay(recording, batch)
        replay_seconds = least_seconds(lambda: self._replay(recording, batch), self._clock)
        return recording._replace(replay_seconds=replay_seconds)

    def _replay(self, recording: _Recording, batch: Batch) -> Outputs:
        return recording.places.run(batch, run_options({_GRAPH_ID: str(recording.graph_id)}))
