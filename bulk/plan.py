"""Which windows run together: those of one bucket, the longest bucket first.

A bucket is never filled up with shorter windows, so what is computed beyond the real tokens is what buckets are apart.
The longest first: what is left at the end of a part is short, and so is the time in which devices are not full.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bigbird_inference.buckets import ServedBucket, smallest_bucket
from bigbird_inference.runtime.session import Outputs
from bigbird_inference.tasks.base import EncodedRequest
from bigbird_inference.tokenization.encoded import EncodedSequence
from bulk.requests import Item

# Outputs at the positions that sequences ask for: a vocabulary of 50,358 makes 0.2 MB for each.
_POSITION_BYTES = 256 * 2**20


@dataclass(slots=True, eq=False)
class PendingItem:
    """An item that has no answer yet, and what its windows have given.

    Attributes:
        item: What was asked.
        encoded: Its windows; for tasks that go step by step, those of the current step.
        outputs: Of each window, once it has run.
        problem: Why a window has none.
        left: Windows that have not run.
        tokens: Of all windows of all steps.
        buckets: Padded length of each window of all steps.
    """

    item: Item
    encoded: EncodedRequest[Any]
    outputs: list[Outputs | None] = field(default_factory=list)
    problem: str | None = None
    left: int = 0
    tokens: int = 0
    buckets: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PlannedWindow:
    """A window of an item."""

    pending: PendingItem
    number: int

    @property
    def sequence(self) -> EncodedSequence:
        """What the model reads."""
        return self.pending.encoded.windows[self.number].sequence


@dataclass(frozen=True, slots=True)
class PlannedBatch:
    """Windows that run together."""

    bucket: ServedBucket
    windows: Sequence[PlannedWindow]


class Plan:
    """The windows that wait for a run.

    Args:
        buckets: Of the model, ascending.
        max_tokens: Most tokens of a batch, padding included; one window always goes.
        max_items: Most windows of a batch.
    """

    def __init__(self, buckets: Sequence[ServedBucket], *, max_tokens: int, max_items: int) -> None:
        self._buckets = {bucket.length: bucket for bucket in buckets}
        self._lengths = [bucket.length for bucket in buckets]
        self._max_tokens = max_tokens
        self._max_items = max_items
        self._waiting: dict[int, deque[PlannedWindow]] = {length: deque() for length in reversed(self._lengths)}

    def add(self, pending: PendingItem) -> None:
        """Have the windows of an item's current step run."""
        windows = pending.encoded.windows
        pending.outputs = [None] * len(windows)
        pending.left = len(windows)
        for number, window in enumerate(windows):
            length = smallest_bucket(self._lengths, len(window.sequence))
            pending.tokens += len(window.sequence)
            pending.buckets.append(length)
            self._waiting[length].append(PlannedWindow(pending, number))

    def next_batch(self) -> PlannedBatch | None:
        """Take the next batch out, or return None if nothing waits."""
        for length, waiting in self._waiting.items():
            if waiting:
                bucket = self._buckets[length]
                return PlannedBatch(bucket, [waiting.popleft() for _ in range(self._size(bucket, waiting))])
        return None

    def _size(self, bucket: ServedBucket, waiting: deque[PlannedWindow]) -> int:
        most = min(self._max_items, self._max_tokens // bucket.length, bucket.max_items or self._max_items)
        if bucket.takes_positions:
            positions = waiting[0].sequence.positions
            each = bucket.position_bytes * max(1, 0 if positions is None else len(positions))
            most = min(most, _POSITION_BYTES // each)
        return min(max(most, 1), len(waiting))
