"""How long a batch takes: what every choice of the scheduler rests on.

Measured at warm-up for each bucket and some batch sizes, so that no assumption about the device is built in: on a CPU
the measurements say that a batch costs as much as its padded tokens, on a GPU that a large batch costs little more
than a small one. What later runs take refreshes it.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bigbird_inference.buckets import BucketKey
from service.batching.measured_curve import MeasuredCurve

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
