"""The scheduler: accepted windows in, logits out, every one of them exactly once.

It stands between the requests, which live on the event loop, and the executor, which runs one batch at a time on its
own thread. One queue per (model, bucket); whenever the executor is free the policy picks the next batch. Everything
here runs on the event loop and wakes on events: an arrival, a finished batch, the executor's death.

    submit_all -> BucketQueue -> policy.select -> executor: run_batch -> futures
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np

from service.batching.admission import QueueLimits
from service.batching.batch_run import BatchOutcome, run_batch
from service.batching.bucket_queue import BucketQueue, QueuedItem
from service.batching.buckets import ServedBucket, smallest_bucket
from service.batching.collate import collate
from service.batching.executor import Executor
from service.batching.executor_calls import ExecutorCalls, executor_stopped
from service.batching.observer import BatchObserver
from service.batching.policy import BatchPolicy, Selection
from service.batching.service_rate import ServiceRate
from service.batching.work_item import InferenceResult, WorkItem
from service.errors import DeadlineExceeded, Draining, InferenceFailed, NotReady, ServiceError
from service.tokenization.encoded import EncodedSequence

logger = logging.getLogger(__name__)

# The first two runs of a shape fault in its memory page by page; the third is the first at full speed.
WARM_UP_RUNS = 2


def shutting_down() -> ServiceError:
    """Return what requests hear once the server is draining."""
    return Draining("The server is shutting down and takes no new work.", retry_after_seconds=1.0)


class Scheduler:
    """Batches the windows of all models on one device.

    Args:
        buckets: Every bucket of every model.
        executor: Runs the batches; the scheduler starts and stops it.
        policy: Chooses each batch.
        limits: Bounds on what waits.
        observer: Hears what happens.
        clock: Monotonic seconds; deadlines are on this clock.
    """

    def __init__(
        self,
        buckets: Iterable[ServedBucket],
        *,
        executor: Executor,
        policy: BatchPolicy,
        limits: QueueLimits,
        observer: BatchObserver,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queues = {(bucket.model, bucket.length): BucketQueue(bucket) for bucket in buckets}
        self._lengths = {
            model: sorted(length for name, length in self._queues if name == model) for model, _ in self._queues
        }
        self._executor = ExecutorCalls(executor)
        self._policy = policy
        self._limits = limits
        self._observer = observer
        self._clock = clock
        self._rate = ServiceRate()
        self._running: Sequence[QueuedItem] = ()
        self._arrival = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._dispatcher: asyncio.Task[None] | None = None
        self._refusal: Callable[[], ServiceError] | None = _still_warming

    @property
    def healthy(self) -> bool:
        """Whether work that is accepted will be run: the executor and the dispatcher are alive."""
        return self._executor.alive and self._dispatcher is not None and not self._dispatcher.done()

    @property
    def waiting_tokens(self) -> int:
        """Real tokens in all queues."""
        return sum(entry.tokens for queue in self._queues.values() for entry in queue)

    def waiting_items(self, model: str, bucket: int) -> int:
        """Windows that wait for one bucket."""
        return len(self._queues[model, bucket])

    def now(self) -> float:
        """Return the time on the scheduler's clock, on which deadlines are."""
        return self._clock()

    async def start(self) -> None:
        """Start the executor. Work is accepted after `warm_up`."""
        self._executor.start(on_death=partial(self.close, executor_stopped))
        self._dispatcher = asyncio.create_task(self._dispatch(), name="batch-dispatcher")
        self._dispatcher.add_done_callback(self._dispatcher_ended)

    async def warm_up(self) -> None:
        """Run every bucket at its full length, then accept work."""
        for queue in self._queues.values():
            bucket = queue.bucket
            started = self._clock()
            batch = collate([_filler(bucket)], bucket.length, bucket.pad_id)
            for _ in range(WARM_UP_RUNS):
                await self._executor.call(partial(bucket.session.run, batch))
            logger.info("warmed %s bucket %d in %.2f s", bucket.model, bucket.length, self._clock() - started)
        if self._refusal is _still_warming:
            self._refusal = None

    def ensure_running(self) -> None:
        """Do nothing if work is run at all.

        Raises:
            NotReady: Warm-up has not finished, or the executor has died; `Draining` while shutting down.
        """
        if self._refusal is not None:
            raise self._refusal()

    def submit(self, item: WorkItem) -> asyncio.Future[InferenceResult]:
        """Accept one window; see `submit_all`."""
        return self.submit_all([item])[0]

    def submit_all(self, items: Sequence[WorkItem]) -> list[asyncio.Future[InferenceResult]]:
        """Accept all windows of a request, or none.

        Each future ends once: with a result, with `InferenceFailed`, `DeadlineExceeded`, `NotReady` or `Draining`, or
        cancelled by its owner, which takes the window out of its queue.

        Raises:
            NotReady, QueueFull, TextTooLarge: Nothing was accepted.
        """
        self.ensure_running()
        tokens = sum(len(item.sequence) for item in items)
        self._limits.refuse_oversized(len(items), tokens)
        waiting_tokens = self.waiting_tokens
        self._limits.refuse_overflow(
            sum(len(queue) for queue in self._queues.values()) + len(items),
            waiting_tokens + tokens,
            retry_after_seconds=self._rate.seconds_for(waiting_tokens),
        )
        now = self._clock()
        queues = [self._queue_for(item) for item in items]
        return [self._enqueue(queue, item, now) for queue, item in zip(queues, items, strict=True)]

    async def drain(self, timeout: float) -> None:
        """Refuse new work, finish what was accepted, stop the executor.

        What has not finished after `timeout` seconds fails with `Draining`.
        """
        if self._refusal is not executor_stopped:
            self._refusal = shutting_down
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        self.close(shutting_down)
        self._executor.stop()
        if self._dispatcher is not None:
            self._dispatcher.cancel()

    def close(self, refusal: Callable[[], ServiceError]) -> None:
        """Fail everything that waits or runs, and everything that comes later, with this error."""
        self._refusal = refusal
        for queue in self._queues.values():
            for entry in list(queue):
                queue.remove(entry)
                _fail(entry, refusal())
        for entry in self._running:
            _fail(entry, refusal())
        self._note_idle()

    # Arrivals and departures.

    def _queue_for(self, item: WorkItem) -> BucketQueue:
        return self._queues[item.model, smallest_bucket(self._lengths[item.model], len(item.sequence))]

    def _enqueue(self, queue: BucketQueue, item: WorkItem, now: float) -> asyncio.Future[InferenceResult]:
        entry = QueuedItem(item, asyncio.get_running_loop().create_future(), accepted_at=now)
        entry.future.add_done_callback(lambda _: self._drop(queue, entry))
        queue.append(entry)
        self._idle.clear()
        self._arrival.set()
        return entry.future

    def _drop(self, queue: BucketQueue, entry: QueuedItem) -> None:
        """Take an entry that must not run any more out of its queue, if it still waits there."""
        if entry not in queue:
            return
        queue.remove(entry)
        expired = entry.expired(self._clock())
        self._observer.item_dropped(queue.bucket.model, queue.bucket.length, "expired" if expired else "cancelled")
        _fail(entry, DeadlineExceeded("The deadline passed while the request was waiting for its turn."))
        self._note_idle()

    def _note_idle(self) -> None:
        if not self._running and not any(self._queues.values()):
            self._idle.set()

    # The dispatcher: one batch after another, for as long as there is work.

    async def _dispatch(self) -> None:
        while True:
            await self._arrival.wait()
            self._arrival.clear()
            while (selection := self._next_batch()) is not None:
                await self._run(selection)

    def _next_batch(self) -> Selection | None:
        now = self._clock()
        for queue in self._queues.values():
            for entry in [entry for entry in queue if entry.future.done() or entry.expired(now)]:
                self._drop(queue, entry)
        return self._policy.select(self._queues.values(), now)

    async def _run(self, selection: Selection) -> None:
        queue, entries = selection.queue, selection.entries
        for entry in entries:
            queue.remove(entry)
        self._running = entries
        try:
            sequences = [entry.item.sequence for entry in entries]
            outcome = await self._executor.call(partial(run_batch, queue.bucket, sequences, self._clock))
        except Exception:
            self._batch_failed(queue.bucket, entries)
        else:
            self._batch_finished(queue.bucket, entries, outcome)
        finally:
            self._running = ()
            self._note_idle()

    def _batch_finished(self, bucket: ServedBucket, entries: Sequence[QueuedItem], outcome: BatchOutcome) -> None:
        queue_seconds = [max(outcome.started_at - entry.accepted_at, 0.0) for entry in entries]
        self._rate.record(sum(entry.tokens for entry in entries), outcome.seconds)
        for entry, logits, waited in zip(entries, outcome.logits, queue_seconds, strict=True):
            if not entry.future.done():
                entry.future.set_result(InferenceResult(logits, bucket.length, waited, outcome.seconds))
        lengths = [entry.tokens for entry in entries]
        self._observer.batch_finished(bucket.model, bucket.length, lengths, queue_seconds, outcome.seconds)

    def _batch_failed(self, bucket: ServedBucket, entries: Sequence[QueuedItem]) -> None:
        logger.exception("a batch failed: model %s, bucket %d, %d items", bucket.model, bucket.length, len(entries))
        for entry in entries:
            _fail(entry, InferenceFailed("The model run failed; the server's log has the cause."))
        self._observer.batch_failed(bucket.model, bucket.length)

    def _dispatcher_ended(self, dispatcher: asyncio.Task[None]) -> None:
        if dispatcher.cancelled():
            return
        logger.critical("the dispatcher ended", exc_info=dispatcher.exception())
        self.close(executor_stopped)


def _fail(entry: QueuedItem, error: ServiceError) -> None:
    if not entry.future.done():
        entry.future.set_exception(error)


def _filler(bucket: ServedBucket) -> EncodedSequence:
    """A sequence as long as the bucket."""
    ids = np.full(bucket.length, bucket.pad_id, dtype=np.int64)
    return EncodedSequence(input_ids=ids, token_type_ids=np.zeros_like(ids))


def _still_warming() -> ServiceError:
    return NotReady("The models are still being warmed.", retry_after_seconds=5.0)
