"""The interface between batching and whatever runs the graphs, and what can end a run.

onnxruntime raises one of several unrelated classes for everything, OpenVINO a single one; only the text tells what
happened.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from bigbird_inference.errors import BundleError, ServiceError

Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]

Outputs = Mapping[str, Float32Array]
"""A graph's outputs by the names that the manifest gives them."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded model inputs, all int64 `[batch, bucket_length]` but `positions`.

    `attention_mask` is 1 on real tokens and 0 on padding, which is always on the right. `positions` is
    `[batch, positions]`, or None for models that do not take it: where in each sequence a language model predicts
    tokens. Rows with fewer positions than others are filled up with 0.
    """

    input_ids: Int64Array
    attention_mask: Int64Array
    token_type_ids: Int64Array
    positions: Int64Array | None = None

    def feeds(self, inputs: Sequence[str]) -> dict[str, Int64Array]:
        """Return what a graph takes, by name.

        Raises:
            ValueError: It takes positions, and there are none.
        """
        feeds = {name: getattr(self, name) for name in inputs}
        missing = [name for name, array in feeds.items() if array is None]
        if missing:
            raise ValueError(f"the graph takes {', '.join(missing)}, and the batch has none")
        return feeds


class RunTerminated(Exception):
    """The run was ended through its control; there are no outputs, and the session can run again."""


class OutOfMemory(Exception):
    """The device had no room for the batch; the session can run again, for example with half of it."""


class DeviceLost(Exception):
    """The device failed in a way that only a restart of the process cures; no session on it can run again."""


class RunControl:
    """Lets one thread end a run that another thread waits for.

    One control belongs to one run.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._terminated = False
        self._end_run: Callable[[], None] | None = None

    @property
    def terminated(self) -> bool:
        """Whether the end of the run was asked for."""
        return self._terminated

    def terminate(self) -> None:
        """Ask for the end of the run; from any thread, before, during or after it."""
        with self._lock:
            first = not self._terminated
            self._terminated = True
            end_run = self._end_run
        if first and end_run is not None:
            end_run()

    def attach(self, end_run: Callable[[], None]) -> None:
        """Say how the run is ended; called by a session when its run begins.

        Args:
            end_run: Makes the run return soon; called at once if the end was asked for already, at most once in all.
        """
        with self._lock:
            self._end_run = end_run
            terminated = self._terminated
        if terminated:
            end_run()


class Session(Protocol):
    """Runs one graph of one model, in whatever shape a batch has."""

    def run(self, batch: Batch, control: RunControl | None = None) -> Outputs:
        """Return every output by name, float32, batch axis first; blocks until they are there.

        Args:
            batch: What to run.
            control: Ends this run from another thread; None for a run that nobody wants to end.

        Raises:
            RunTerminated: The control ended the run, or had been terminated before it.
            OutOfMemory: The device had no room for the batch.
            DeviceLost: The device has failed for good.
            ValueError: The graph takes an input that the batch does not have.
        """
        ...


class Shape(NamedTuple):
    """The shape of a batch: sequences, and tokens in each, padding included."""

    rows: int
    length: int


@runtime_checkable
class CapturingSession(Protocol):
    """A session that can record the work of a shape once and repeat it at less cost (CUDA graphs).

    Warm-up calls it on the thread that will run the batches, when every shape that it measures has run and nothing else
    uses a device.
    """

    def capture(self, shapes: Sequence[Shape]) -> Sequence[Shape]:
        """Record shapes, those that gain most, as far as that pays; return those that were recorded."""
        ...

    def drop_wrong_captures(self) -> Sequence[Shape]:
        """Repeat everything recorded, forget all of it if one differs from an ordinary run; return what is left."""
        ...


_TERMINATED = (
    "terminate flag being set to true",  # onnxruntime
    "Infer Request was canceled",  # OpenVINO
)
_NO_MEMORY = (
    "Failed to allocate memory",  # the arena, when its device gave it nothing
    "is smaller than requested bytes",  # the arena, when it has a limit
    "bad_alloc",  # the CPU without an arena
    "bytes of memory",  # OpenVINO: "Failed to allocate N bytes of memory"
    "out of memory",  # the CUDA runtime and its libraries
    "ALLOC_FAILED",
)
# Errors after which the CUDA runtime refuses every further call of the process ("sticky" ones).
_LOST = (
    "an illegal memory access was encountered",
    "misaligned address",
    "an illegal instruction was encountered",
    "unspecified launch failure",
    "device-side assert triggered",
    "uncorrectable ECC error encountered",
    "uncorrectable NVLink error",
    "hardware stack error",
    "the launch timed out and was terminated",
)


def meaning_of(error: Exception) -> Exception | None:
    """Return what a session must raise in place of a failure, or None if the failure says it best itself."""
    text = str(error)
    if isinstance(error, MemoryError):
        return OutOfMemory(text)
    if any(words in text for words in _TERMINATED):
        return RunTerminated(text)
    if any(words in text for words in _LOST):
        return DeviceLost(text)
    if any(words in text for words in _NO_MEMORY):
        return OutOfMemory(text)
    return None


@contextlib.contextmanager
def bundle_blamed(complaint: str) -> Iterator[None]:
    """Blame the bundle for whatever a run raises that no user's text is part of.

    Raises:
        BundleError: The complaint and the reason; the cause is what was raised.
        ServiceError, DeviceLost: The device failed, or the server shuts down.
    """
    try:
        yield
    except (BundleError, ServiceError, DeviceLost):
        raise
    except Exception as error:
        raise BundleError(f"{complaint}: {str(error) or type(error).__name__}") from error
