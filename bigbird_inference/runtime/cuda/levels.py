"""What rungs are made of: how they load a graph, what they make of it, and how two of them are compared."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from bigbird_inference.manifest import Attention, AttentionKernelName, Manifest
from bigbird_inference.runtime.cuda.features import RungName
from bigbird_inference.runtime.onnx_session import OnnxSession
from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime
from bigbird_inference.runtime.session import Batch, Outputs, Session, Shape

# A rung must save at least this share of the time of the one below.
LEAST_GAIN = 0.03
_TIMED_RUNS = 3


class LoadOptions(NamedTuple):
    """How onnxruntime loads a graph and runs it, beyond what every rung asks for.

    Attributes:
        kernel: Of its attention.
        settings: Options of the CUDA provider.
        run_config: Entries of the options of every run.
    """

    kernel: AttentionKernelName
    settings: Mapping[str, str] = {}
    run_config: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, eq=False)
class LoadedGraph:
    """A graph that onnxruntime has loaded.

    Attributes:
        session: Onnxruntime's.
        manifest: Of its bundle.
        attention: The graph's kind.
        device: Kind and number, as onnxruntime names it.
        run_config: Entries of the options of every run.
    """

    session: onnxruntime.InferenceSession
    manifest: Manifest
    attention: Attention
    device: tuple[str, int]
    run_config: Mapping[str, str]

    def ordinary(self) -> OnnxSession:
        """Return what runs it with arrays in and arrays out."""
        return OnnxSession(self.session, self.run_config)


class Recorder(Protocol):
    """A rung that records shapes when they have run."""

    @property
    def shapes(self) -> Sequence[Shape]:
        """What is recorded."""
        ...

    @property
    def seconds(self) -> tuple[float, float]:
        """What the recorded shapes take, as recorded and without."""
        ...

    def capture(self, shapes: Sequence[Shape], *, pinned: bool) -> Sequence[Shape]:
        """Record shapes as far as that pays, or all if pinned; return all that are recorded."""
        ...

    def differences(self) -> Iterator[tuple[Shape, float]]:
        """Yield every recorded shape with the largest difference from an ordinary run."""
        ...


def _always(shape: Shape) -> bool:
    return True


class Level(NamedTuple):
    """One graph on one rung.

    Attributes:
        rung: Its name, or None for the first.
        session: Runs the graph there.
        serves: Tells whether it runs a shape; otherwise the level below does.
        recorder: The session, where it records.
        same_graph: Whether it launches the kernels of the rung below.
    """

    rung: RungName | None
    session: Session
    serves: Callable[[Shape], bool] = _always
    recorder: Recorder | None = None
    same_graph: bool = True


def run_options(entries: Mapping[str, str]) -> onnxruntime.RunOptions:
    """Return onnxruntime's options of a run."""
    options = onnxruntime.RunOptions()
    for key, value in entries.items():
        options.add_run_config_entry(key, value)
    return options


def filler(shape: Shape, seed: int = 0) -> Batch:
    """Return sequences without padding, of a few different tokens."""
    ids = np.random.default_rng(seed).integers(7, size=shape)
    return Batch(ids, np.ones_like(ids), np.zeros_like(ids))


def least_seconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    """Return the least time of a few runs, after one that may take memory."""
    run()
    seconds = []
    for _ in range(_TIMED_RUNS):
        start = clock()
        run()
        seconds.append(clock() - start)
    return min(seconds)


def finite(outputs: Outputs) -> bool:
    """Tell whether all outputs are numbers. A sum is not finite if one of its terms is not, and costs no copy."""
    with np.errstate(over="ignore", invalid="ignore"):
        return all(np.isfinite(array.sum()) or np.isfinite(array).all() for array in outputs.values())


def largest_difference(found: Outputs, expected: Outputs) -> float:
    """Return the largest difference of two runs, infinite where a number or an output is missing."""
    if not finite(found) or any(found[name].shape != array.shape for name, array in expected.items()):
        return float("inf")
    return max(float(np.abs(found[name] - array).max(initial=0.0)) for name, array in expected.items())
