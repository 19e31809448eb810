"""How long a batch takes: what every choice of the scheduler rests on.

Measured at warm-up for each bucket and some batch sizes, so that no assumption about the device is built in: on a CPU
the measurements say that a batch costs as much as its padded tokens, on a GPU that a large batch costs little more
than a small one. What later runs take refreshes it.
"""

import math
import time
from bisect import bisect_right, insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bigbird_inference.buckets import BucketKey


class MeasuredCurve:
    """Straight lines between measured sizes; beyond the largest, the last line goes on.

    With one measurement the quantity is proportional to the size: nothing is assumed to be gained by batching that
    was not seen.
    """

    def __init__(self) -> None:
        self._points: list[tuple[int, float]] = []

    @property
    def points(self) -> list[tuple[int, float]]:
        """The measurements, by ascending size."""
        return list(self._points)

    def add(self, items: int, value: float) -> None:
        """Take a measurement; an earlier one of the same size is replaced."""
        self._points = [point for point in self._points if point[0] != items]
        insort(self._points, (items, value))

    def at(self, items: int) -> float | None:
        """Return the value at a size, or None if nothing was measured."""
        if not self._points:
            return None
        position = bisect_right(self._points, (items, float("inf")))
        if position and self._points[position - 1][0] == items:
            return self._points[position - 1][1]
        first, first_value = self._points[0]
        if len(self._points) == 1 or items < first:
            return first_value * items / first
        start = min(position - 1, len(self._points) - 2)
        (left, left_value), (right, right_value) = self._points[start : start + 2]
        # Noise may make a larger batch look cheaper than a smaller one; extended, that line would fall below zero.
        slope = (right_value - left_value) / (right - left)
        if items > right:
            return right_value + max(slope, 0.0) * (items - right)
        return left_value + slope * (items - left)


# Weight of the newest run in the running average: it follows a change within some ten runs.
_NEWEST = 0.2
# One run that was held up, by paging or a neighbour, counts as this many times slower (or faster) at most.
_LARGEST_STEP = 4.0
# What has not been seen again for so long is half forgotten: a stale average cannot keep a batch size, or a request
# with a short deadline, out for ever.
_HALF_LIFE_SECONDS = 60.0
# Predictions are divided by.
_SHORTEST_SECONDS = 1e-6


@dataclass(slots=True)
class _Drift:
    """Average of observed over measured seconds, and when it was last refreshed."""

    ratio: float
    at: float


class CostModel:
    """Predicts the seconds of a batch.

    A prediction is the curve measured at warm-up times the average by which recent runs of about this size differed
    from it. Sizes are averaged in the groups 1, 2, 3-4, 5-8, 9-16, ..., which end where warm-up measures.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._curves: dict[BucketKey, MeasuredCurve] = {}
        self._drifts: dict[tuple[BucketKey, int], _Drift] = {}

    @property
    def measurements(self) -> Mapping[BucketKey, list[tuple[int, float]]]:
        """Batch sizes and seconds measured at warm-up, by bucket."""
        return {key: curve.points for key, curve in self._curves.items()}

    def measured(self, key: BucketKey, items: int, seconds: float) -> None:
        """Take a measurement of warm-up."""
        self._curves.setdefault(key, MeasuredCurve()).add(items, seconds)

    def observe(self, key: BucketKey, items: int, seconds: float) -> None:
        """Take a finished run into account."""
        expected = self._curve_at(key, items)
        if expected is None:
            self.measured(key, items, seconds)
            return
        now = self._clock()
        ratio = self._ratio(key, items, now)
        seen = min(max(seconds / max(expected, _SHORTEST_SECONDS), ratio / _LARGEST_STEP), ratio * _LARGEST_STEP)
        self._drifts[key, _group(items)] = _Drift(ratio + _NEWEST * (seen - ratio), now)

    def predict(self, key: BucketKey, items: int) -> float:
        """Return the seconds that a batch of so many sequences takes; almost 0 for a bucket never measured."""
        expected = self._curve_at(key, items)
        if expected is None:
            return _SHORTEST_SECONDS
        return max(expected * self._ratio(key, items, self._clock()), _SHORTEST_SECONDS)

    def forget(self, key: BucketKey) -> None:
        """Drop what is known of a bucket that is served no more."""
        self._curves.pop(key, None)
        for drift in [drift for drift in self._drifts if drift[0] == key]:
            del self._drifts[drift]

    def _curve_at(self, key: BucketKey, items: int) -> float | None:
        curve = self._curves.get(key)
        return None if curve is None else curve.at(items)

    def _ratio(self, key: BucketKey, items: int, now: float) -> float:
        drift = self._drifts.get((key, _group(items)))
        if drift is None:
            return 1.0
        return 1.0 + (drift.ratio - 1.0) * float(0.5 ** ((now - drift.at) / _HALF_LIFE_SECONDS))


def _group(items: int) -> int:
    """0 for 1, 1 for 2, 2 for 3 and 4, 3 for 5 to 8, and so on."""
    return (items - 1).bit_length()


_UNKNOWN_SECONDS = 1.0
_LONGEST_SECONDS = 60.0


class ServiceRate:
    """Running average of the real tokens per second of a busy device."""

    def __init__(self) -> None:
        self._tokens_per_second: float | None = None

    def record(self, tokens: int, seconds: float) -> None:
        """Take a finished batch into account."""
        measured = tokens / max(seconds, 1e-6)
        average = self._tokens_per_second
        self._tokens_per_second = measured if average is None else average + _NEWEST * (measured - average)

    def seconds_for(self, tokens: int, devices: int = 1) -> float:
        """Return whole seconds, 1 to 60, that devices take for this many tokens; 1 before the first batch."""
        if self._tokens_per_second is None:
            return _UNKNOWN_SECONDS
        seconds = math.ceil(tokens / (self._tokens_per_second * devices))
        return float(min(max(seconds, _UNKNOWN_SECONDS), _LONGEST_SECONDS))
