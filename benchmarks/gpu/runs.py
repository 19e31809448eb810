"""A contender in its process: it is warmed at every shape, and timed when it is asked to.

What fails (a kernel that does not compile, a batch that does not fit) is handed back as its reason; the process stays.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.contenders import FloatArray
from benchmarks.gpu.batches import COMPARED_DOCUMENTS, filled_batch
from benchmarks.gpu.contenders import Contestant
from benchmarks.limited_worker import reason

# The first two set up and compile; the third is at full speed.
_WARM_RUNS = 3

Shape = tuple[str, int]
"""A variant and a number of documents."""


@dataclass(frozen=True, slots=True)
class Warmed:
    """A shape that runs.

    Attributes:
        logits: Of its first documents.
    """

    logits: FloatArray


class TimedGpuModel:
    """A loaded contender.

    Args:
        load: Loads it.
    """

    def __init__(self, load: Callable[[], Contestant]) -> None:
        # Compilers warn about themselves; what matters here is whether they succeed.
        warnings.simplefilter("ignore")
        self._contestant = load()

    def remark(self) -> str:
        """Return what was chosen at load."""
        return self._contestant.remark

    def prepare(self, length: int, documents: Sequence[int]) -> dict[Shape, Warmed | str]:
        """Warm every variant at every number of documents; what fails is a reason."""
        shapes = [(variant, count) for variant in self._contestant.variants for count in documents]
        _give_back_memory()
        try:
            self._contestant.prepare(length, documents)
        except Exception as error:
            return {shape: reason(error) for shape in shapes}
        return {shape: self._warm(length, *shape) for shape in shapes}

    def _warm(self, length: int, variant: str, documents: int) -> Warmed | str:
        batch = filled_batch(documents, length)
        try:
            for _ in range(_WARM_RUNS):
                logits = self._contestant.run(variant, batch)
        except Exception as error:
            _give_back_memory()
            return reason(error)
        return Warmed(np.array(logits[:COMPARED_DOCUMENTS]))

    def seconds(self, variant: str, length: int, documents: int, runs: int) -> float | str:
        """Return the seconds of a run, the mean of so many after one that is not timed, or why it failed."""
        batch = filled_batch(documents, length)
        try:
            self._contestant.run(variant, batch)
            begin = time.perf_counter()
            for _ in range(runs):
                self._contestant.run(variant, batch)
            return (time.perf_counter() - begin) / runs
        except Exception as error:
            return reason(error)


def _give_back_memory() -> None:
    """Let the other processes have what torch keeps for later."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
