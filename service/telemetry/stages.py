"""The stages of a request's way, on one tape: each begins where the one before it ended, so that they tile its time.

    parse -> tokenise -> queue -> collate -> inference -> decode -> respond

What a document does while others share its request stands on a tape of its own; the request's tape goes on with the one
that ended last. A text that is built step by step goes through queue, collate, inference and decode again and again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeVar, get_args

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.metrics import MetricWrapperBase

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


Stage = Literal["parse", "tokenise", "queue", "collate", "inference", "decode", "respond"]
STAGES: tuple[Stage, ...] = get_args(Stage)

# A text of thousands of steps passes thousands of stages; its sums hold all of them, its intervals the first ones.
MOST_INTERVALS = 256


@dataclass(frozen=True, slots=True)
class Interval:
    """A stage's time, from `start` to `end` in seconds of the service's clock."""

    stage: Stage
    start: float
    end: float


class StageClock:
    """A tape of stages.

    Args:
        start: Where it begins, in seconds of the service's clock.
    """

    __slots__ = ("end", "intervals", "seconds", "start")

    def __init__(self, start: float) -> None:
        self.start = start
        self.end = start
        self.seconds: dict[Stage, float] = {}
        self.intervals: list[Interval] = []

    def until(self, stage: Stage, end: float) -> None:
        """Count the time since the last stage as this one's. A time before that end counts as that end."""
        end = max(end, self.end)
        self.seconds[stage] = self.seconds.get(stage, 0.0) + end - self.end
        if len(self.intervals) < MOST_INTERVALS:
            self.intervals.append(Interval(stage, self.end, end))
        self.end = end

    def fork(self) -> "StageClock":
        """Return an empty tape that begins where this one ends."""
        return StageClock(self.end)

    def join(self, other: "StageClock") -> None:
        """Go on with a tape that was forked off here."""
        for stage, seconds in other.seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
        self.intervals += other.intervals[: MOST_INTERVALS - len(self.intervals)]
        self.end = other.end


MetricT = TypeVar("MetricT", bound=MetricWrapperBase)


def series_of(metric: MetricT) -> Callable[..., MetricT]:
    """Return what gives a metric's series for labels, which are few, so that each is looked up only once."""
    return cache(metric.labels)


class StageMetrics:
    """One histogram for all stages.

    Args:
        registry: Where it is registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = series_of(
            Histogram(
                "bigbird_stage_duration_seconds",
                "Time in a stage of a request's way: parse and respond once for each request, tokenise and decode once "
                "for each of its documents, queue, collate and inference once for each window.",
                ["stage", "model", "bucket"],
                buckets=SECONDS,
                registry=registry,
            )
        )

    def declare(self, model: str, bucket: int) -> None:
        """Create a bucket's series."""
        for stage in STAGES:
            self._seconds(stage, model, bucket)

    def observe(self, stage: Stage, model: str, bucket: int, seconds: float, times: int = 1) -> None:
        """Count a stage that so many took together."""
        histogram = self._seconds(stage, model, bucket)
        for _ in range(times):
            histogram.observe(seconds)
