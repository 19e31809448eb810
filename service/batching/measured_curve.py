"""A quantity measured at a few batch sizes, and what it is taken to be at the others."""

from bisect import bisect_right, insort


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
