"""A part of the input to its answers: planned, run, decoded with the task's own functions, in the order of the runs."""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from bigbird_inference.buckets import ServedBucket
from bigbird_inference.errors import ServiceError
from bigbird_inference.runtime.session import Outputs
from bigbird_inference.tasks.base import EncodedRequest, Task
from bulk.devices import DeviceThreads, RunFailed, RunResult
from bulk.parts import Part
from bulk.plan import PendingItem, Plan, PlannedBatch
from bulk.requests import Item


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer took; the same whenever it is computed."""

    tokens: Annotated[int, Field(description="Tokens that the model read over all windows, special tokens included.")]
    windows: Annotated[int, Field(description="Windows that were run.")]
    buckets: Annotated[
        list[int], Field(description="Padded length of each window's run, in the order of the document.")
    ]
    truncated_tokens: Annotated[int, Field(description="Tokens that no window holds: always 0.")] = 0


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of an item.

    Attributes:
        item: What was asked.
        answer: Of the task; None if there is none.
        usage: What it took; None if it was not run.
        problem: Why there is no answer.
    """

    item: Item
    answer: Any | None
    usage: Usage | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class BatchAnswers:
    """What a batch has finished, and how much of the part it was.

    Attributes:
        finished: Items whose last window was in it.
        real_tokens: Tokens of its windows, without padding.
    """

    finished: Sequence[Finished]
    real_tokens: int = 0


class PartAnswering:
    """Answers parts of the input, one after the other.

    Args:
        task: Encoded the items, and decodes what the model gives.
        buckets: Of the model, ascending.
        devices: Run the batches.
        max_batch_tokens: Most tokens of a batch, padding included.
        max_batch_items: Most windows of a batch.
    """

    def __init__(
        self,
        task: Task[Any, Any],
        buckets: Sequence[ServedBucket],
        devices: DeviceThreads,
        *,
        max_batch_tokens: int,
        max_batch_items: int,
    ) -> None:
        self._task = task
        self._devices = devices
        self._plan = Plan(buckets, max_tokens=max_batch_tokens, max_items=max_batch_items)
        self._running: dict[Future[list[RunResult]], PlannedBatch] = {}

    def answers(self, part: Part) -> Iterator[BatchAnswers]:
        """Yield what becomes of a part's items: first of those that cannot be asked, then batch by batch.

        Raises:
            DeviceLost: A device has failed for good.
        """
        refused = [Finished(item.item, None, None, item.problem) for item in part.items if item.encoded is None]
        if refused:
            yield BatchAnswers(refused)
        for item in part.items:
            if item.encoded is not None:
                self._plan.add(PendingItem(item.item, item.encoded))
        part.items.clear()
        while self._fill_devices():
            ended, _ = wait(self._running, return_when=FIRST_COMPLETED)
            for future in ended:
                batch, results = self._running.pop(future), future.result()
                # The devices go on while this one is decoded.
                self._fill_devices()
                real = sum(len(window.sequence) for window in batch.windows)
                yield BatchAnswers(self._finished(batch, results), real)

    def _fill_devices(self) -> bool:
        """Give each device a batch to run and one to go on with; return whether anything runs."""
        while len(self._running) < 2 * self._devices.count and (batch := self._plan.next_batch()) is not None:
            future = self._devices.submit(batch.bucket, [window.sequence for window in batch.windows])
            self._running[future] = batch
        return bool(self._running)

    def _finished(self, batch: PlannedBatch, results: Sequence[RunResult]) -> list[Finished]:
        ended = []
        for window, result in zip(batch.windows, results, strict=True):
            pending = window.pending
            pending.left -= 1
            if isinstance(result, RunFailed):
                pending.problem = result.reason
            else:
                pending.outputs[window.number] = result
            if pending.left == 0 and (finished := self._advance(pending)) is not None:
                ended.append(finished)
        return ended

    def _advance(self, pending: PendingItem) -> Finished | None:
        """Return what became of an item whose windows have all run, or None if it takes another step."""
        if pending.problem is None:
            try:
                step = self._step(pending.encoded, [outputs for outputs in pending.outputs if outputs is not None])
            except ServiceError as error:
                pending.problem = error.detail
            except Exception as error:  # one bad row never ends a job
                pending.problem = f"it could not be decoded: {type(error).__name__}: {error}"
            else:
                if isinstance(step, EncodedRequest):
                    pending.encoded = step
                    self._plan.add(pending)
                    return None
                return Finished(pending.item, step, _usage(pending))
        return Finished(pending.item, None, _usage(pending), pending.problem)

    def _step(self, encoded: EncodedRequest[Any], outputs: Sequence[Outputs]) -> Any:
        following = self._task.continuation(encoded, outputs)
        return self._task.answer(encoded, outputs) if following is None else following


def _usage(pending: PendingItem) -> Usage:
    return Usage(pending.tokens, len(pending.buckets), pending.buckets)
