"""A chosen batch to its end: its run, and what follows when the run fails, is not wanted any more, or gets stuck.

- No room in memory: the bucket's cap is lowered to half of what was tried, and the halves run one after the other.
- Any other failure: the halves run one after the other, so that one poisonous sequence is found and fails alone. An
  item takes part in at most 1 + log2(n) runs, rounded up, and all together in at most 2n - 1.
- Nobody waits any more: the run is ended through its control, and what it took teaches the cost model nothing.
- A run that takes many times what was predicted is `stuck`: its items fail, it is asked to end through its control, and
  liveness fails, so that whoever watches liveness restarts the process. Should the run end after all, everything goes
  on.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from bigbird_inference.batch_run import BatchOutcome, run_batch
from bigbird_inference.buckets import ServedBucket
from bigbird_inference.errors import DeadlineExceeded, InferenceFailed
from bigbird_inference.runtime.session import OutOfMemory, RunControl, RunTerminated
from service.batching.batch_limits import BatchLimits
from service.batching.bucket_queue import InferenceResult, QueuedItem, fail_all
from service.batching.cost_model import CostModel, ServiceRate
from service.batching.executor import ExecutorCalls
from service.batching.observer import BatchObserver, FinishedBatch, SplitReason
from service.batching.policy import Selection
from service.batching.unavailable import run_stuck

logger = logging.getLogger(__name__)

# A timer may be early by the resolution of its clock; then it looks again after this time.
_LOOK_AGAIN_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class StuckRule:
    """When a run counts as stuck: after `factor` times its predicted seconds, and `least_seconds` at least."""

    factor: float = 20.0
    least_seconds: float = 60.0

    def limit(self, predicted_seconds: float) -> float:
        """Return the seconds after which a run is stuck."""
        return max(self.factor * predicted_seconds, self.least_seconds)


@dataclass(slots=True)
class _Run:
    """The run that the executor has; `started_at` is None while the device still runs what it was given before."""

    entries: Sequence[QueuedItem]
    control: RunControl
    started_at: float | None
    predicted_seconds: float
    watch: asyncio.TimerHandle | None = None


class BatchRunner:
    """Runs one selection at a time.

    Args:
        executor: Runs the batches.
        cost_model: Predicts runs and learns from them.
        limits: The caps of every bucket, lowered where memory is short.
        rate: Learns how fast tokens are processed.
        observer: Hears what happens.
        stuck_rule: When a run counts as stuck.
        clock: Monotonic seconds.
        device: What the executor runs on, for the observer.
        number: Which of a bucket's sessions is that device's.
        on_stuck: Called when a run has become stuck.
    """

    def __init__(
        self,
        executor: ExecutorCalls,
        *,
        cost_model: CostModel,
        limits: BatchLimits,
        rate: ServiceRate,
        observer: BatchObserver,
        stuck_rule: StuckRule,
        clock: Callable[[], float],
        device: str = "cpu",
        number: int = 0,
        on_stuck: Callable[[], None] = lambda: None,
    ) -> None:
        self._executor = executor
        self._on_stuck = on_stuck
        self._device = device
        self._number = number
        self._cost_model = cost_model
        self._limits = limits
        self._rate = rate
        self._observer = observer
        self._stuck_rule = stuck_rule
        self._clock = clock
        self._run: _Run | None = None
        self._entries: Sequence[QueuedItem] = ()
        self._behind = False

    @property
    def entries(self) -> Sequence[QueuedItem]:
        """Everything of the current selection: what runs, what has run, and halves that wait for their turn."""
        return self._entries

    @property
    def stuck(self) -> bool:
        """Whether the run takes so much longer than predicted that it may never end."""
        run = self._run
        if run is None or run.started_at is None:
            return False
        return self._clock() - run.started_at > self._stuck_rule.limit(run.predicted_seconds)

    @property
    def remaining_seconds(self) -> float:
        """What the current run should still take."""
        run = self._run
        if run is None:
            return 0.0
        if run.started_at is None:
            return run.predicted_seconds
        return max(run.started_at + run.predicted_seconds - self._clock(), 0.0)

    def end_unwanted_run(self) -> None:
        """End the current run if nobody waits for any of its sequences; called when somebody has gone."""
        run = self._run
        if run is not None and all(entry.future.done() for entry in run.entries):
            run.control.terminate()

    def begin(self, selection: Selection, batches: asyncio.TaskGroup, *, behind: bool = False) -> asyncio.Task[None]:
        """Run a selection; every future of its entries is done when the task is.

        Args:
            selection: What to run.
            batches: The group that the task belongs to.
            behind: Whether the device still runs something else, so that the run's time has not come.
        """
        self._entries = selection.entries
        self._behind = behind
        return batches.create_task(self._run_all(selection), name=f"batch on {self._device}")

    def comes_first(self) -> None:
        """Count the current run's time from now: what was before it has ended."""
        self._behind = False
        if self._run is not None and self._run.started_at is None:
            self._run.started_at = self._clock()

    async def _run_all(self, selection: Selection) -> None:
        try:
            bucket = selection.bucket.on(self._number)
            for entry in selection.entries:
                if entry.future.cancelled():  # its owner left in the moment between the choice and now
                    self._observer.item_dropped(entry.bucket.model, entry.bucket.length, "cancelled")
            pieces = [list(selection.entries)]
            while pieces:
                piece = self._still_wanted(pieces.pop())
                if piece:
                    # The first half next: entries end in the order in which they were due.
                    pieces.extend(reversed(await self._run_piece(bucket, piece)))
        finally:
            self._entries = ()

    async def _run_piece(self, bucket: ServedBucket, entries: list[QueuedItem]) -> list[list[QueuedItem]]:
        """Run entries together; return halves that must run again."""
        predicted = self._cost_model.predict(bucket.key, len(entries))
        control = RunControl()
        self._run = run = _Run(entries, control, None if self._behind else self._clock(), predicted)
        self._watch(run)
        sequences = [entry.item.sequence for entry in entries]
        try:
            outcome = await self._executor.call(partial(run_batch, bucket, sequences, self._clock, control))
        except RunTerminated:
            self._observer.run_terminated(bucket.model, bucket.length)
            fail_all(entries, lambda: InferenceFailed("The model run was ended."))
            return []
        except OutOfMemory:
            logger.warning("out of memory: model %s, bucket %d, %d items", bucket.model, bucket.length, len(entries))
            self._limits.out_of_memory(bucket, len(entries))
            return self._failed(bucket, entries, "out_of_memory")
        except Exception:
            logger.exception("a batch failed: model %s, bucket %d, %d items", bucket.model, bucket.length, len(entries))
            return self._failed(bucket, entries, "failure")
        finally:
            self._run = None
            if run.watch is not None:
                run.watch.cancel()
        self._finished(bucket, entries, outcome, predicted, learn=not control.terminated)
        return []

    def _finished(
        self, bucket: ServedBucket, entries: Sequence[QueuedItem], outcome: BatchOutcome, predicted: float, learn: bool
    ) -> None:
        lengths = [entry.tokens for entry in entries]
        queue_seconds = [max(outcome.started_at - entry.accepted_at, 0.0) for entry in entries]
        if learn:
            self._cost_model.observe(bucket.key, len(entries), outcome.seconds)
            self._rate.record(sum(lengths), outcome.seconds)
        for entry, outputs, waited in zip(entries, outcome.outputs, queue_seconds, strict=True):
            if not entry.future.done():
                entry.future.set_result(
                    InferenceResult(
                        outputs,
                        bucket.length,
                        waited,
                        outcome.collate_seconds,
                        outcome.run_seconds,
                        outcome.started_at + outcome.seconds,
                    )
                )
        self._observer.batch_finished(
            FinishedBatch(
                model=bucket.model,
                bucket=bucket.length,
                lengths=lengths,
                traces=[entry.item.trace for entry in entries],
                queue_seconds=queue_seconds,
                device=self._device,
                started_at=outcome.started_at,
                collate_seconds=outcome.collate_seconds,
                inference_seconds=outcome.run_seconds,
                predicted_seconds=predicted,
            )
        )

    def _watch(self, run: _Run) -> None:
        """Look again when the run would be stuck; once it is, fail its items, which asks the session to end it."""
        if not self.stuck:
            limit = self._stuck_rule.limit(run.predicted_seconds)
            left = limit if run.started_at is None else run.started_at + limit - self._clock()
            run.watch = asyncio.get_running_loop().call_later(max(left, _LOOK_AGAIN_SECONDS), self._watch, run)
            return
        logger.critical("a run of %d items on %s is stuck and given up", len(run.entries), self._device)
        fail_all(run.entries, run_stuck)
        self._on_stuck()

    def _failed(self, bucket: ServedBucket, entries: list[QueuedItem], reason: SplitReason) -> list[list[QueuedItem]]:
        self._observer.batch_failed(bucket.model, bucket.length)
        if len(entries) == 1:
            fail_all(entries, lambda: InferenceFailed("The model run failed; the server's log has the cause."))
            return []
        self._observer.batch_split(bucket.model, bucket.length, reason)
        half = (len(entries) + 1) // 2
        return [entries[:half], entries[half:]]

    def _still_wanted(self, entries: list[QueuedItem]) -> list[QueuedItem]:
        """Leave out entries that ended while another half ran."""
        now = self._clock()
        fail_all(
            [entry for entry in entries if entry.expired(now)],
            lambda: DeadlineExceeded("The deadline passed before the request had been run."),
        )
        return [entry for entry in entries if not entry.future.done()]
