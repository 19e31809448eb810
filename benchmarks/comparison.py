"""Contenders of one length side by side: loaded and warmed one after the other, compared, then timed by turns."""

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tqdm import tqdm

from benchmarks.contenders import Contender, Contenders, FloatArray, TimedModel
from benchmarks.floating_point import model_operations
from benchmarks.interleaving import repeats_for, round_robin
from benchmarks.limited_worker import LimitedWorker, reason
from benchmarks.matrix_products import MatrixProducts
from benchmarks.models_report import Measurement
from benchmarks.worker import Worker, WorkerFailed
from model_export.config import BigBirdConfig

RATE_REPEATS = 3
LONGEST_ANSWER_SECONDS = 600.0
"""Of a contender: what compiles for longer is left out."""

Rates = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Warmed:
    """A contender that is ready to be timed.

    Attributes:
        logits: Of the documents that it was warmed with, one at a time.
        seconds: Of a run, by its documents.
        memory: Bytes that its process had resident at most, by documents.
    """

    logits: FloatArray
    seconds: Mapping[int, float]
    memory: Mapping[int, int]


class Comparison:
    """All contenders at one length, each in its process.

    Args:
        length: In tokens.
        contenders: The contenders, and why others are none.
        processes: Ends the processes.
    """

    def __init__(self, length: int, contenders: Contenders, processes: contextlib.ExitStack) -> None:
        self.left_out = dict(contenders.left_out)
        self._length = length
        self._compared = contenders.compared
        self._processes = processes
        self._workers: dict[str, LimitedWorker] = {}

    def measure(self, rates: Rates, config: BigBirdConfig, *, quick: bool = False) -> list[Measurement]:
        """Measure all contenders, and the rate of matrix products beside them.

        Args:
            rates: Where each path's operations per second are added.
            config: The model's shape.
            quick: Whether to repeat little.

        Raises:
            WorkerFailed: The first contender cannot be run, with which all others are compared.
        """
        warmed = self._warmed()
        found = self._differences(warmed)
        repeats = {
            (name, documents): repeats_for(seconds, quick=quick)
            for name in found
            for documents, seconds in warmed[name].seconds.items()
        }
        times = self._timed(repeats, rates)
        return [
            Measurement(
                contender=name,
                length=self._length,
                documents=documents,
                seconds=tuple(times[name, documents]),
                operations=documents * self._operations(name, config),
                precision=self._compared[name].precision,
                peak_memory=warmed[name].memory[documents],
                difference=found[name],
            )
            for name, documents in repeats
            if name not in self.left_out
        ]

    def _operations(self, name: str, config: BigBirdConfig) -> int:
        return model_operations(config, self._length, full=self._compared[name].always_full or None)

    def _warmed(self) -> dict[str, Warmed]:
        """Load and warm one after the other: two at once would hold each other up."""
        warmed = {}
        for name, contender in tqdm(self._compared.items(), desc=f"{self._length} tokens: loading", disable=None):
            worker = LimitedWorker(name, LONGEST_ANSWER_SECONDS, TimedModel, contender.load, self._length)
            self._workers[name] = self._processes.enter_context(worker)
            with self._failing(name):
                worker.wait_until_made()
                answers, memory = {}, {}
                for documents in contender.documents:
                    answers[documents] = worker.call("warm", documents)
                    memory[documents] = worker.call("peak_memory")
                seconds = {documents: answer[1] for documents, answer in answers.items()}
                warmed[name] = Warmed(answers[1][0], seconds, memory)
        return warmed

    def _differences(self, warmed: Mapping[str, Warmed]) -> dict[str, float]:
        """Return how far off those are that can be timed."""
        found = differences({name: entry.logits for name, entry in warmed.items()})
        wrong = wrong_models(self._compared, found)
        self.left_out |= wrong
        return {name: difference for name, difference in found.items() if name not in wrong}

    def _timed(self, repeats: Mapping[tuple[str, int], int], rates: Rates) -> dict[tuple[str, int], list[float]]:
        """Return the seconds of each run, by contender and documents."""
        products = self._processes.enter_context(Worker("matrix products", MatrixProducts))
        products.wait_until_made()
        times: dict[tuple[str, int], list[float]] = defaultdict(list)
        order = round_robin({**repeats, ("", 0): RATE_REPEATS})
        for name, documents in tqdm(order, desc=f"{self._length} tokens: running", disable=None):
            if not documents:
                for path, rate in products.call("rates").items():
                    rates.setdefault(path, []).append(rate)
            elif name not in self.left_out:
                with self._failing(name):
                    times[name, documents].append(self._workers[name].call("seconds", documents))
        return times

    @contextlib.contextmanager
    def _failing(self, name: str) -> Iterator[None]:
        """Leave a contender out that fails."""
        try:
            yield
        except WorkerFailed as error:
            if name == next(iter(self._compared)):
                raise
            self.left_out[name] = reason(error)


def differences(logits: Mapping[str, FloatArray]) -> dict[str, float]:
    """Return each contender's largest difference from the first, in standard deviations of the first's logits."""
    reference = next(iter(logits.values()))
    return {name: float(abs(own - reference).max() / reference.std()) for name, own in logits.items()}


def wrong_models(compared: Mapping[str, Contender], found: Mapping[str, float]) -> dict[str, str]:
    """Return who computes something else than the first contender, and how far off it is: its time means nothing.

    Args:
        compared: The contenders by name.
        found: Their differences.
    """
    wrong = {}
    for name, difference in found.items():
        tolerance = compared[name].tolerance
        if tolerance is not None and not difference <= tolerance:
            wrong[name] = f"logits differ by {difference:.3g} standard deviations, more than {tolerance}"
    return wrong
