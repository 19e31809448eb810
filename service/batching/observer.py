"""What the scheduler tells about its work; the metrics implement it."""

from collections.abc import Sequence
from typing import Literal, Protocol

DropReason = Literal["cancelled", "expired"]


class BatchObserver(Protocol):
    """Hears of every batch and of every item that left a queue without running. Called on the event loop."""

    def batch_finished(
        self,
        model: str,
        bucket: int,
        lengths: Sequence[int],
        queue_seconds: Sequence[float],
        inference_seconds: float,
    ) -> None:
        """A batch ran; `lengths` are its sequences' real tokens."""
        ...

    def batch_failed(self, model: str, bucket: int) -> None:
        """A batch raised."""
        ...

    def item_dropped(self, model: str, bucket: int, reason: DropReason) -> None:
        """An item's client had gone, or its deadline had passed, before it ran."""
        ...
