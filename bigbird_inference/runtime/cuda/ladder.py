"""A bundle's graphs on a GPU, and the rungs above the first that give the same answers sooner.

The first rung is onnxruntime with nothing of ours, and must give the bundle's known answers
(`bigbird_inference.known_answer.climb`). Each rung above is compared with its answers, within the tolerance that the
manifest records, and timed; what is not right and faster is off, and one line of the log says why. So is a rung that
fails later: the batch is run again on the rung below, and only if that answers it is the rung to blame. What is off
stays off until the bundle is loaded again.

The first rung's graphs stay loaded, beside those of the rungs above, so that there is always one to fall back on.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from bigbird_inference.manifest import Attention, Manifest
from bigbird_inference.runtime.cuda.features import RUNGS, RungName, RungOutcome, State, said_by
from bigbird_inference.runtime.cuda.levels import (
    LEAST_GAIN,
    Level,
    Recorder,
    finite,
    largest_difference,
    least_seconds,
)
from bigbird_inference.runtime.session import (
    Batch,
    DeviceLost,
    OutOfMemory,
    Outputs,
    RunControl,
    RunTerminated,
    Session,
    Shape,
    meaning_of,
)

logger = logging.getLogger(__name__)

# A rung that runs the graph of the rung below launches the same kernels: it may differ by rounding only.
_SAME_GRAPH = 0.1


class Probe(NamedTuple):
    """A batch by which rungs are compared.

    Attributes:
        attention: The graph's kind.
        batch: What is run.
        allowed: How far an answer may be from the first rung's.
    """

    attention: Attention
    batch: Batch
    allowed: float


Problems = Mapping[RungName, tuple[State, str]]
"""What became of rungs that cannot go on, in a word and in a sentence; the highest first."""


class Ladder:
    """The rungs of a bundle on one GPU.

    All calls but `outcomes` belong on the thread that runs batches.

    Args:
        name: Of bundle and device, for the log.
        manifest: The bundle's.
        levels: For each kind of attention, the first rung and those above it that could be opened, ascending.
        outcomes: Of those that could not, and are not tried.
        pinned: Whether what is right is kept, faster or not.
        clock: Seconds.
    """

    def __init__(
        self,
        name: str,
        manifest: Manifest,
        levels: Mapping[Attention, Sequence[Level]],
        outcomes: Mapping[RungName, RungOutcome],
        *,
        pinned: bool,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.manifest = manifest
        self.pinned = pinned
        self._name = name
        self._levels = levels
        self._clock = clock
        self._opened = [level.rung for level in next(iter(levels.values())) if level.rung is not None]
        self._same_graph = {level.rung for own in levels.values() for level in own if level.same_graph}
        fresh = {rung: RungOutcome(rung, "waiting" if self._recorders(rung) else "on") for rung in self._opened}
        self._outcomes = {rung: fresh.get(rung) or outcomes[rung] for rung in RUNGS}
        self._by_token = {tensor.name for tensor in manifest.outputs if "length" in tensor.shape}
        self._probes: Sequence[Probe] = ()
        self._answers: Sequence[Outputs] = ()
        self.sessions = {attention: LadderSession(self, own) for attention, own in levels.items()}

    @property
    def first(self) -> dict[Attention, Session]:
        """The sessions of the first rung."""
        return {attention: levels[0].session for attention, levels in self._levels.items()}

    @property
    def outcomes(self) -> list[RungOutcome]:
        """What became of every rung until now."""
        return list(self._outcomes.values())

    def is_on(self, rung: RungName) -> bool:
        """Tell whether a rung runs what it serves."""
        return self._outcomes[rung].state in ("on", "waiting")

    def compare(self, probes: Sequence[Probe]) -> None:
        """Keep the rungs that answer probes as the first one does, and sooner than the rung below.

        Raises:
            OutOfMemory, DeviceLost: As in `Session.run`, of the first rung.
        """
        self._probes = probes
        self._answers, seconds_below = self._ask(None)
        answers_below = self._answers
        for rung in [rung for rung in self._opened if self._outcomes[rung].state == "on"]:
            try:
                answers, seconds = self._ask(rung)
            except DeviceLost:
                raise
            except Exception as error:
                # onnxruntime's exception classes share no public base.
                self._outcomes[rung] = RungOutcome(rung, "failed", said_by(error))
                continue
            wrong = self._wrong(answers, self._answers)
            if wrong is None and rung in self._same_graph:
                wrong = self._wrong(answers, answers_below, _SAME_GRAPH)
            state, reason = self._gain(seconds, seconds_below) if wrong is None else ("wrong", wrong)
            difference = max(map(largest_difference, answers, self._answers), default=None)
            self._outcomes[rung] = RungOutcome(rung, state, reason, difference, seconds, seconds_below)
            if state == "on":
                answers_below, seconds_below = answers, seconds
        for outcome in self.outcomes:
            if outcome.state not in ("on", "waiting", "not_asked"):
                self._tell(outcome)

    def check(self) -> None:
        """Ask the probes again; give up rungs that do not answer as the first one did at the start.

        Raises:
            DeviceLost: The first rung does not either: this device computes something else now.
        """
        problems: dict[RungName, tuple[State, str]] = {}
        for rung in [rung for rung in reversed(self._opened) if self.is_on(rung)]:
            try:
                wrong = self._wrong(self._ask(rung, timed=False)[0], self._answers)
            except DeviceLost:
                raise
            except OutOfMemory:
                continue
            except Exception as error:
                problems[rung] = ("failed", said_by(error))
            else:
                if wrong:
                    problems[rung] = ("wrong", wrong)
        self.give_up(problems)
        wrong = self._wrong(self._ask(None, timed=False)[0], self._answers)
        if wrong:
            raise DeviceLost(f"{self._name} does not give the answers any more that it gave at the start: {wrong}")

    def give_up(self, problems: Problems) -> None:
        """Run nothing on these rungs any more."""
        if not problems:
            return
        for rung, (state, reason) in problems.items():
            self._outcomes[rung] = replace(self._outcomes[rung], state=state, reason=reason)
        logger.warning(
            "%s: %s off until the restart, the rung below answers: %s",
            self._name,
            ", ".join(problems),
            next(iter(problems.values()))[1],
        )

    def judge_recordings(self) -> None:
        """Keep the rung that records if what it recorded is right, and anything was worth it."""
        for rung in [rung for rung in self._opened if self.is_on(rung) and self._recorders(rung)]:
            recorders = self._recorders(rung)
            compared = [(shape, found) for own in recorders for shape, found in own.differences()]
            for (rows, length), found in compared:
                if not found <= _SAME_GRAPH * allowed_difference(self.manifest, length):
                    shape = f"a recording of {rows} sequences of {length} tokens"
                    wrong = f"{shape} differs from an ordinary run by {found:.2g}"
                    self.give_up({rung: ("wrong", wrong)})
                    return
            seconds, seconds_below = (sum(own) for own in zip(*(each.seconds for each in recorders), strict=True))
            state: State = "on" if compared else "no_gain"
            reason = "" if compared else f"no recording saves {LEAST_GAIN:.0%} of a run"
            largest = max((found for _, found in compared), default=None)
            before = self._outcomes[rung].state
            self._outcomes[rung] = RungOutcome(rung, state, reason, largest, seconds, seconds_below)
            if state not in ("on", before):
                self._tell(self._outcomes[rung])

    def _ask(self, rung: RungName | None, *, timed: bool = True) -> tuple[list[Outputs], float]:
        """Return what a rung answers to the probes that it serves, and in how many seconds."""
        answers: list[Outputs] = []
        seconds = 0.0
        for attention, batch, _ in self._probes:
            (level,) = (level for level in self._levels[attention] if level.rung == rung)
            session = level.session if level.serves(Shape(*batch.input_ids.shape)) else self.sessions[attention]
            run = partial(session.run, batch)
            seconds += least_seconds(run, self._clock) if timed else 0.0
            # What belongs to padding is nobody's answer.
            tokens = int(batch.attention_mask.sum())
            answers.append({name: own[:, :tokens] if name in self._by_token else own for name, own in run().items()})
        return answers, seconds

    def _wrong(self, answers: Sequence[Outputs], expected: Sequence[Outputs], share: float = 1.0) -> str | None:
        for probe, own, other in zip(self._probes, answers, expected, strict=True):
            found, length = largest_difference(own, other), probe.batch.input_ids.shape[1]
            if not found <= share * probe.allowed:
                number = "gives NaN or infinity" if not finite(own) else f"differs by {found:.2g}"
                return f"in bucket {length} it {number}, and {share * probe.allowed:.2g} is allowed"
        return None

    def _gain(self, seconds: float, seconds_below: float) -> tuple[State, str]:
        if self.pinned or seconds <= (1 - LEAST_GAIN) * seconds_below:
            return "on", ""
        return "no_gain", f"it takes {seconds * 1e3:.3g} ms, and the rung below {seconds_below * 1e3:.3g} ms"

    def _recorders(self, rung: RungName) -> list[Recorder]:
        levels = (level for own in self._levels.values() for level in own)
        return [level.recorder for level in levels if level.rung == rung and level.recorder is not None]

    def _tell(self, outcome: RungOutcome) -> None:
        level = logging.WARNING if outcome.state in ("failed", "wrong") else logging.INFO
        logger.log(level, "%s: %s is not kept (%s): %s", self._name, outcome.rung, outcome.state, outcome.reason)


class LadderSession:
    """One graph, run on the highest rung that is on.

    Args:
        ladder: Whose.
        levels: From the first rung up.
    """

    def __init__(self, ladder: Ladder, levels: Sequence[Level]) -> None:
        self._ladder = ladder
        self._levels = levels

    def run(self, batch: Batch, control: RunControl | None = None) -> Outputs:
        """Return every output by name, float32, batch axis first.

        Raises:
            RunTerminated: The control ended the run, or had been terminated before it.
            OutOfMemory: The GPU had no room for the batch.
            DeviceLost: The GPU has failed for good.
            ValueError: The graph takes positions, and the batch has none.
        """
        problems: dict[RungName, tuple[State, str]] = {}
        shape = Shape(*batch.input_ids.shape)
        for rung, session, serves, *_ in reversed(self._levels):
            if rung is not None and not (self._ladder.is_on(rung) and serves(shape)):
                continue
            try:
                outputs = session.run(batch, control)
            except (RunTerminated, DeviceLost):
                raise
            except Exception as error:
                # Halves may find room; a single sequence may on the rung below.
                if rung is None or (isinstance(error, OutOfMemory) and shape.rows > 1):
                    raise
                problems[rung] = ("failed", said_by(error))
                continue
            if rung is None and not problems:
                return outputs
            if finite(outputs):
                self._ladder.give_up(problems)
                return outputs
            if rung is None:
                return outputs
            problems[rung] = ("wrong", "it gives NaN or infinity")
        raise AssertionError("the first rung is always on")

    def capture(self, shapes: Sequence[Shape]) -> Sequence[Shape]:
        """Record shapes, if a rung does that, those that gain most, as far as that pays; return those recorded."""
        for rung, _, _, recorder, _ in self._levels:
            if rung is None or recorder is None or not self._ladder.is_on(rung):
                continue
            try:
                return recorder.capture(shapes, pinned=self._ladder.pinned)
            except Exception as error:
                if isinstance(meaning_of(error), DeviceLost):
                    raise
                self._ladder.give_up({rung: ("failed", said_by(error))})
        return []

    def drop_wrong_captures(self) -> Sequence[Shape]:
        """Repeat everything recorded, give up all of it if one differs from an ordinary run; return what is left."""
        self._ladder.judge_recordings()
        recorders = [level.recorder for level in self._levels if level.rung and self._ladder.is_on(level.rung)]
        return [shape for recorder in recorders if recorder is not None for shape in recorder.shapes]


def allowed_difference(manifest: Manifest, length: int) -> float:
    """Return how far a bucket's outputs may be from others, as they were allowed to be from torch at export."""
    parities = [parity for bucket in manifest.buckets if bucket.length == length for parity in bucket.parity]
    return max(parity.tolerance for parity in parities)
