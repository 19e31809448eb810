"""The stages of a request's way, on one tape: each begins where the one before it ended, so that they tile its time.

    parse -> tokenise -> queue -> collate -> inference -> decode -> respond

What a document does while others share its request stands on a tape of its own; the request's tape goes on with the one
that ended last. A text that is built step by step goes through queue, collate, inference and decode again and again.
"""

from dataclasses import dataclass
from typing import Literal, get_args

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
