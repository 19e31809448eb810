"""How fast the contenders are, and what the device can do at most.

At each length all contenders are loaded and warmed at once, their logits are compared with the reference, then they
take turns. What fails (a kernel that does not compile, a batch that does not fit, a process that ends) is a cell with
its reason, and the others go on.
"""

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch

from benchmarks.floating_point import model_operations
from benchmarks.gpu.contenders import DENSE, DTYPES, Load, Reference, contenders, timed
from benchmarks.gpu.plan import ANSWER_SECONDS, Plan
from benchmarks.gpu.results import Cell, Cells
from benchmarks.interleaving import repeats_for, round_robin
from benchmarks.limited_worker import LimitedWorker, reason
from benchmarks.random_documents import random_batch
from benchmarks.worker import WorkerFailed
from bigbird_inference.runtime.session import Float32Array
from model_export.checkpoints.recognise import read_checkpoint
from model_export.config import BigBirdConfig

# In standard deviations of the reference's logits. fp16 moves these logits by 0.002 to 0.004 (measured on a CPU),
# full attention instead of block-sparse by more than 0.25.
TOLERANCE = 0.05
# The first documents of a length, whose logits are compared.
COMPARED_DOCUMENTS = 2

# The first two set up and compile; the third is at full speed.
_WARM_RUNS = 3
# Of a repeat; what is shorter is run several times in it.
_REPEAT_SECONDS = 0.05
# What no clock measures; only fakes are so fast.
_SHORTEST = 1e-9


def measure_speed(plan: Plan, missing: Sequence[str]) -> Iterator[Cells]:
    """Yield the cells of each length and number of documents of which one is missing."""
    config = read_checkpoint(plan.checkpoint).config
    shapes = list(dict.fromkeys(tuple(map(int, name.split("/")[1:3])) for name in missing))
    for length in dict.fromkeys(length for length, _ in shapes):
        with LimitedWorker("reference", ANSWER_SECONDS, Reference, plan.checkpoint, plan.device) as worker:
            worker.wait_until_made()
            reference = worker.call("logits", random_batch(range(COMPARED_DOCUMENTS), length))
        with Race(contenders(plan), length, [documents for own, documents in shapes if own == length]) as race:
            yield from race.cells(config, reference)


class Runner:
    """A contender in its process."""

    def __init__(self, load: Load, length: int, counts: Sequence[int]) -> None:
        # Compilers warn about themselves; what matters here is whether they succeed.
        warnings.simplefilter("ignore")
        self._length = length
        self._run = load(length, counts)

    def attempt(self, step: str, *arguments: int) -> Any:
        """Return what `warm` or `seconds` does, or why it failed."""
        try:
            return getattr(self, step)(*arguments)
        except Exception as error:
            # Let the other processes have what torch keeps for later.
            if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
                torch.cuda.empty_cache()
            return reason(error)

    def warm(self, documents: int) -> tuple[Float32Array, str]:
        """Run some times; return the logits of the first documents, and what the contender has to say."""
        batch = random_batch(range(documents), self._length)
        for _ in range(_WARM_RUNS):
            logits = self._run(batch)
        return logits[:COMPARED_DOCUMENTS].copy(), getattr(self._run, "remark", "")

    def seconds(self, documents: int, runs: int) -> float:
        """Return the seconds of a run, the mean of so many after one that is not timed."""
        batch = random_batch(range(documents), self._length)
        self._run(batch)
        begin = time.perf_counter()
        for _ in range(runs):
            self._run(batch)
        return (time.perf_counter() - begin) / runs


class Race(ExitStack):
    """Contenders at one length, each in its process. One that ends or does not answer is out, the others go on."""

    def __init__(
        self,
        compared: Mapping[str, Load],
        length: int,
        counts: Sequence[int],
        start: Callable[..., LimitedWorker] = LimitedWorker,
    ) -> None:
        super().__init__()
        self._length = length
        self._counts = counts
        self._out: dict[str, str] = {}
        self._workers = {
            name: self.enter_context(start(name, ANSWER_SECONDS, Runner, load, length, counts))
            for name, load in compared.items()
        }

    def cells(self, config: BigBirdConfig, reference: Float32Array) -> Iterator[Cells]:
        """Yield the cells of each number of documents.

        Args:
            config: The model's shape.
            reference: Logits of the first documents.
        """
        for name in self._workers:
            self._let(name, lambda worker: worker.wait_until_made())
        warmed = {documents: self._warmed(documents, config, reference) for documents in self._counts}
        for documents, cells in warmed.items():
            timed_cells = cells | self._timed(documents, cells)
            yield {f"speed/{self._length}/{documents}/{name}": cell for name, cell in timed_cells.items()}

    def _warmed(self, documents: int, config: BigBirdConfig, reference: Float32Array) -> dict[str, Cell]:
        """Let all compile and warm at the same time; a cell that has not failed can be timed."""
        for name in self._workers:
            self._let(name, lambda worker: worker.ask("attempt", "warm", documents))
        answers = {name: self._let(name, lambda worker: worker.answer()) for name in self._workers}
        is_full = self._length <= config.full_attention_edge
        cells: dict[str, Cell] = {}
        for name, answer in answers.items():
            if isinstance(answer, str):
                cells[name] = {"failed": answer}
                continue
            logits, remark = answer
            difference = float(abs(logits - reference[: len(logits)]).max() / reference.std())
            # Not `>`: a difference that is not a number must fail too. Full attention beyond the edge is another
            # function.
            if not difference <= TOLERANCE and (is_full or name != DENSE):
                failed = f"logits are {difference:.3g} standard deviations off; at most {TOLERANCE} are right"
                cells[name] = {"failed": failed}
            else:
                operations = documents * model_operations(config, self._length, full=is_full or name == DENSE)
                cells[name] = {"operations": operations, "difference": difference, "remark": remark}
        return cells

    def _timed(self, documents: int, cells: Mapping[str, Cell]) -> dict[str, Cell]:
        """Run by turns what can be run."""
        failed: dict[str, Cell] = {}

        def run(name: str, runs: int) -> float:
            found = self._let(name, lambda worker: worker.call("attempt", "seconds", documents, runs))
            if isinstance(found, float):
                return found
            failed[name] = {"failed": found}
            return 0.0

        once = {name: run(name, 1) for name, cell in cells.items() if "failed" not in cell}
        seconds: dict[str, list[float]] = {name: [] for name in once}
        for name in round_robin({name: repeats_for(taken) for name, taken in once.items()}):
            if name not in failed:
                seconds[name].append(run(name, max(1, math.ceil(_REPEAT_SECONDS / max(once[name], _SHORTEST)))))
        return {name: {**cells[name], "seconds": own} for name, own in seconds.items()} | failed

    def _let(self, name: str, step: Callable[[LimitedWorker], Any]) -> Any:
        """Return what a contender's process answers, or why it is out."""
        if name not in self._out:
            try:
                return step(self._workers[name])
            except WorkerFailed as error:
                self._out[name] = reason(error)
        return self._out[name]


def measure_ceiling(plan: Plan, missing: Sequence[str]) -> Iterator[Cells]:
    """Yield the rates of matrix products, measured in a process of its own."""
    with LimitedWorker("ceiling", ANSWER_SECONDS, _Products, plan.device, plan.precision) as worker:
        worker.wait_until_made()
        for name in missing:
            sizes = map(int, name.removeprefix("ceiling/").split(" x "))
            yield {name: {"operations/s": worker.call("rate", *sizes)}}


class _Products:
    """The device's matrix products.

    On random numbers: on zeros a GPU draws less power and runs faster than it ever does with a model.
    """

    def __init__(self, device: str, precision: str) -> None:
        self._options: Any = {"device": device, "dtype": DTYPES[precision]}

    def rate(self, rows: int, inner: int, columns: int) -> float:
        """Return operations per second."""
        left, right = torch.randn(rows, inner, **self._options), torch.randn(inner, columns, **self._options)
        product = torch.empty(rows, columns, **self._options)
        return 2 * rows * inner * columns / timed(lambda: torch.mm(left, right, out=product))
