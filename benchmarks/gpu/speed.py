"""How fast the contenders are: at each length all are warmed at once, checked, then run by turns."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from tqdm import tqdm

from benchmarks.contenders import FloatArray
from benchmarks.floating_point import model_operations
from benchmarks.gpu.cells import Cell, difference_from, wrong
from benchmarks.gpu.contenders import GpuContender
from benchmarks.gpu.peers import PLAIN
from benchmarks.gpu.plan import Plan
from benchmarks.gpu.runs import Shape, TimedGpuModel, Warmed
from benchmarks.interleaving import repeats_for, round_robin
from benchmarks.limited_worker import LimitedWorker, reason
from benchmarks.worker import WorkerFailed
from model_export.config import BigBirdConfig

# What no clock measures; only fakes are so fast.
_SHORTEST = 1e-9


class SpeedTest:
    """Contenders in their processes. One that ends or does not answer is out, the others go on.

    Args:
        contenders: By name.
        plan: What is measured.
        start: Starts a process.
    """

    def __init__(
        self,
        contenders: Mapping[str, GpuContender],
        plan: Plan,
        start: Callable[..., LimitedWorker] = LimitedWorker,
    ) -> None:
        self._contenders = contenders
        self._plan = plan
        self._start = start
        self._workers: dict[str, LimitedWorker] = {}
        self._out: dict[str, str] = {}
        self.remarks: dict[str, str] = {}

    @contextmanager
    def loaded(self) -> Iterator["SpeedTest"]:
        """Load all of them, at the same time."""
        with ExitStack() as processes:
            for name, contender in self._contenders.items():
                worker = self._start(name, self._plan.answer_seconds, TimedGpuModel, contender.load)
                self._workers[name] = processes.enter_context(worker)
            for name in self._contenders:
                self._let(name, lambda worker: worker.wait_until_made())
                remark = self._let(name, lambda worker: worker.call("remark"))
                if remark and name not in self._out:
                    self.remarks[name] = remark
            yield self

    def measure(self, length: int, config: BigBirdConfig, reference: FloatArray) -> list[Cell]:
        """Measure everybody at one length.

        Args:
            length: In tokens.
            config: The model's shape.
            reference: Logits of the first documents.
        """
        counts = self._plan.documents_at(length)
        cells = self._checked(length, counts, config, reference)
        timed = []
        for documents in tqdm(counts, desc=f"{length} tokens", disable=None):
            timed += self._timed([cell for cell in cells if cell.documents == documents])
        return timed

    def _checked(self, length: int, counts: list[int], config: BigBirdConfig, reference: FloatArray) -> list[Cell]:
        """Warm everybody and compare the logits; a cell that has not failed can be timed."""
        is_full = length <= config.full_attention_edge
        compared = {
            name: contender
            for name, contender in self._contenders.items()
            if not (is_full and contender.is_sparse_only)
        }
        cells = []
        for name, shapes in self._warmed(list(compared), length, counts).items():
            attends_fully = is_full or compared[name].attends_fully
            for (variant, documents), warmed in shapes.items():
                operations = documents * model_operations(config, length, full=attends_fully)
                cell = Cell(name, variant, length, documents, operations)
                if isinstance(warmed, str):
                    cell = replace(cell, failure=warmed)
                else:
                    difference = difference_from(reference, warmed.logits)
                    is_same_function = is_full or not compared[name].attends_fully
                    cell = replace(cell, difference=difference, failure=wrong(difference) if is_same_function else None)
                cells.append(cell)
        return cells

    def _warmed(self, compared: list[str], length: int, counts: list[int]) -> dict[str, dict[Shape, Warmed | str]]:
        """Let all compile and warm at the same time; who is out has the reason at every number of documents."""
        for name in compared:
            self._let(name, lambda worker: worker.ask("prepare", length, counts))
        answers = {name: self._let(name, lambda worker: worker.answer()) for name in compared}
        return {
            name: {(PLAIN, documents): self._out[name] for documents in counts} if name in self._out else answer
            for name, answer in answers.items()
        }

    def _timed(self, cells: list[Cell]) -> list[Cell]:
        """Run by turns what can be run, all of it with the same number of documents of the same length."""
        seconds: dict[int, list[float]] = {}
        failures: dict[int, str] = {}

        def run(number: int, runs: int) -> float | None:
            cell = cells[number]
            arguments = (cell.variant, cell.length, cell.documents, runs)
            found = self._let(cell.contender, lambda worker: worker.call("seconds", *arguments))
            if isinstance(found, str):
                failures[number] = found
            return found if isinstance(found, float) else None

        runs, repeats = {}, {}
        for number, cell in enumerate(cells):
            if cell.failure is None and (once := run(number, 1)) is not None:
                runs[number] = max(1, math.ceil(self._plan.repeat_seconds / max(once, _SHORTEST)))
                repeats[number] = min(self._plan.repeats, repeats_for(once))
        for number in round_robin(repeats):
            if number not in failures and (found := run(number, runs[number])) is not None:
                seconds.setdefault(number, []).append(found)
        return [
            replace(
                cell,
                seconds=tuple(seconds.get(number, [])),
                failure=cell.failure or failures.get(number) or self._out.get(cell.contender),
            )
            for number, cell in enumerate(cells)
        ]

    def _let(self, name: str, step: Callable[[LimitedWorker], Any]) -> Any:
        """Return what a contender's process answers, or why it is out."""
        if name not in self._out:
            try:
                return step(self._workers[name])
            except WorkerFailed as error:
                self._out[name] = reason(error)
        return self._out[name]
