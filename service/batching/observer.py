"""What the scheduler tells about its work; the metrics implement it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

DropReason = Literal["cancelled", "expired", "unreachable"]
SplitReason = Literal["out_of_memory", "failure"]


@dataclass(frozen=True, slots=True)
class FinishedBatch:
    """A batch that ran.

    Attributes:
        model: Name of the model.
        bucket: Padded length in tokens.
        lengths: Its sequences' real tokens.
        traces: What each of their work items had as its `trace`.
        queue_seconds: How long each of them waited.
        device: Where it ran, for example `cpu` or `cuda:0`.
        started_at: When it began to be put together, on the scheduler's clock.
        collate_seconds: How long that took.
        inference_seconds: Duration of the run.
        predicted_seconds: What the cost model had said of both together.
    """

    model: str
    bucket: int
    lengths: Sequence[int]
    traces: Sequence[Any]
    queue_seconds: Sequence[float]
    device: str
    started_at: float
    collate_seconds: float
    inference_seconds: float
    predicted_seconds: float

    @property
    def seconds(self) -> float:
        """What the batch took of the device's thread."""
        return self.collate_seconds + self.inference_seconds


class BatchObserver(Protocol):
    """Hears of every batch and of every item that left a queue without running. Called on the event loop."""

    def batch_finished(self, batch: FinishedBatch) -> None:
        """Hear that a batch ran."""
        ...

    def batch_failed(self, model: str, bucket: int) -> None:
        """Hear that a run raised."""
        ...

    def batch_split(self, model: str, bucket: int, reason: SplitReason) -> None:
        """Hear that a run raised, and its sequences run again in two halves."""
        ...

    def run_terminated(self, model: str, bucket: int) -> None:
        """Hear that a run was ended because nobody waited for it any more."""
        ...

    def item_dropped(self, model: str, bucket: int, reason: DropReason) -> None:
        """Hear that an item left: its client had gone, or its deadline had passed or could not be met."""
        ...
