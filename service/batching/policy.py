"""Which entries a device runs next, and in which bucket.

The scheduler asks its policy whenever a device is free; everything else (admission, deadlines, failures) is the
scheduler's. `LeastDelay` is the policy that serves: it takes the batch that takes most waiting off the queues for each
second of the device. The benchmark puts others in its place.

Three rules, all of them by the cost model, so that the same policy runs single documents on a CPU, where a batch costs
what its documents cost, and large batches on a GPU, where it does not:

1. *How many.* With N entries of a bucket and n others waiting, batches of k that take C(k) seconds clear the bucket
   with a mean delay in proportion to C(k) * ((N + 2n) / k + 1): the first part is throughput, which everybody who waits
   gains by, the second is the time that a batch's own entries wait for each other. The k with the least delay is
   taken. With a short queue on a device where batching gains little that is 1; with a long queue, or where a batch is
   cheap, it grows to the caps. A size that would make one of its entries miss a deadline is not taken.
2. *Which bucket.* Among those with somebody in turn (`service.batching.shares`), the one whose batch has the largest
   sum of (time waited + time to run alone) per second that the batch takes: short documents need not wait for long
   ones, and what has waited long gains weight, but not by waiting for others of its own request. So whoever comes with
   little goes before the rest of any list. Those behind their share count for how many are taken, not for which bucket
   is next.
3. *Nobody is overtaken for ever.* Every entry has a time at which it is due: its acceptance, plus `patience_seconds`,
   plus twice the work that its request has before it, or the last moment at which it would still make its deadline, if
   that is earlier. Where the batch in turn would end after that, the batch is built around the entry that is due first
   instead; such batches take half of the time at most, so that however much is overdue, who comes with little is next
   but one.

The bound: an entry waits at most until it is due, then for the run that was under way, and then for twice what is due
earlier. Nothing accepted after its due time is due earlier, so those runs are at most as many as the queue holds
entries (`max_queued_items`):

    wait <= patience_seconds + 2 * work before it in its own request + 2 * (max_queued_items + 1) * longest run

(one run more where a device is given a second batch while it runs the first, `service.batching.served_devices`)

if runs take what the cost model says; a run that takes longer delays everybody by the difference.

When own entries leave places free, shorter documents of the same model, in the same version, and of the same kind of
attention take them if that makes the batch dearer by less than what running them in their own bucket would cost.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, takewhile
from typing import Protocol

from bigbird_inference.buckets import ServedBucket
from service.batching.batch_limits import BatchLimits
from service.batching.bucket_queue import BucketQueue, QueuedItem
from service.batching.cost_model import CostModel
from service.batching.forecast import Forecast


@dataclass(frozen=True, slots=True)
class Selection:
    """The next batch.

    Attributes:
        bucket: Where it runs.
        entries: At least one, of any queues of the bucket's model; they are still in their queues.
        start_at: When to begin, on the scheduler's clock, if nothing arrives before; at once if this has passed.
        seconds: What it is predicted to take.
        overdue: Whether it is out of turn, for an entry that is overdue.
    """

    bucket: ServedBucket
    entries: Sequence[QueuedItem]
    start_at: float = 0.0
    seconds: float = 0.0
    overdue: bool = False


class BatchPolicy(Protocol):
    """Chooses the next batch."""

    def select(self, queues: Iterable[BucketQueue], now: float) -> Selection | None:
        """Return the next batch, or None if every queue is empty; the queues are left as they are."""
        ...

    def begun(self, selection: Selection) -> None:
        """Take note that a batch was chosen and has begun."""
        ...


def _in_turn(queues: Iterable[BucketQueue]) -> list[BucketQueue]:
    """Return the queues that have somebody in turn; all of them if nobody is anywhere."""
    waiting = list(queues)
    return [queue for queue in waiting if queue.in_turn] or waiting


# Between two sizes the cost model is a straight line, so trying a few sizes finds the best one nearly.
_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)


class LeastDelay:
    """See the module.

    Args:
        cost_model: Predicts the seconds of a batch.
        limits: The caps of every bucket.
        delay_seconds: How long an entry may wait for more while the executor is free.
    """

    def __init__(self, cost_model: CostModel, limits: BatchLimits, delay_seconds: float = 0.0) -> None:
        self._cost_model = cost_model
        self._limits = limits
        self._forecast = Forecast(cost_model, limits)
        self._delay_seconds = delay_seconds
        self._ahead_of_turn = 0.0

    def select(self, queues: Iterable[BucketQueue], now: float) -> Selection | None:
        """Return the next batch."""
        waiting = [queue for queue in queues if len(queue)]
        if not waiting:
            return None
        total = sum(len(queue) for queue in waiting)
        bucket, entries = max(
            ((queue.bucket, self._batch(queue.bucket, queue, len(queue), total, now)) for queue in _in_turn(waiting)),
            key=lambda batch: (self._relief(batch[0], batch[1], now), -batch[1][0].due_at),
        )
        due = min((queue.due_first for queue in waiting), key=lambda entry: entry.urgency)
        late = due not in entries and now + self._cost(bucket, len(entries)) > due.due_at
        overdue = late and self._ahead_of_turn <= 0
        if overdue:
            queue = next(queue for queue in waiting if queue.bucket.key == due.bucket.key)
            bucket = queue.bucket
            others = (entry for entry in queue if entry is not due)
            entries = self._batch(bucket, chain([due], others), len(queue), total, now)
        ends_by = due.due_at if not late and due not in entries else float("inf")
        entries = self._filled(bucket, entries, waiting, now, ends_by)
        seconds = self._cost(bucket, len(entries))
        return Selection(bucket, entries, self._start(bucket, entries), seconds, overdue)

    def begun(self, selection: Selection) -> None:
        """Take note of whose turn a batch was: those out of turn get half of the time at most."""
        change = selection.seconds if selection.overdue else -selection.seconds
        self._ahead_of_turn = max(self._ahead_of_turn + change, 0.0)

    def _cost(self, bucket: ServedBucket, items: int) -> float:
        return self._cost_model.predict(bucket.key, items)

    def _relief(self, bucket: ServedBucket, entries: Sequence[QueuedItem], now: float) -> float:
        """Return the waiting that the batch ends, for each second that it takes.

        What has waited for others of its own request does not count.
        """
        alone = self._cost(bucket, 1)
        waited = sum(now - entry.accepted_at for entry in entries if entry.first)
        return (waited + alone * len(entries)) / self._cost(bucket, len(entries))

    def _batch(
        self, bucket: ServedBucket, candidates: Iterable[QueuedItem], own: int, total: int, now: float
    ) -> list[QueuedItem]:
        """Return the first of a queue's entries, as many as cause the least delay."""
        entries = self._within_limits(bucket, candidates)
        weight = own + 2 * (total - own)
        most = self._most_in_time(bucket, entries, now)
        sizes = [*takewhile(lambda size: size < most, _SIZES), most]
        # Of equal ones the larger: it leaves less behind.
        best = min(sizes, key=lambda size: (self._cost(bucket, size) * (weight / size + 1), -size))
        return entries[:best]

    def _within_limits(self, bucket: ServedBucket, candidates: Iterable[QueuedItem]) -> list[QueuedItem]:
        """Take candidates as long as the bucket's caps allow; one that asks for too many positions is passed over."""
        taken: list[QueuedItem] = []
        positions = 0
        for entry in candidates:
            if len(taken) >= self._limits.most_items(bucket):
                break
            if len(taken) < self._limits.most_items(bucket, max(positions, entry.positions)):
                taken.append(entry)
                positions = max(positions, entry.positions)
        return taken

    def _most_in_time(self, bucket: ServedBucket, entries: Sequence[QueuedItem], now: float) -> int:
        """Return the size up to which no entry misses a deadline that it could make alone."""
        ends = now + self._cost(bucket, len(entries))
        if all(entry.item.deadline is None or entry.item.deadline >= ends for entry in entries):
            return len(entries)
        alone_ends = now + self._cost(bucket, 1)
        earliest = float("inf")
        most = 1
        for size, entry in enumerate(entries, start=1):
            deadline = entry.item.deadline
            if deadline is not None and deadline >= alone_ends:
                earliest = min(earliest, deadline)
            if size > 1 and now + self._cost(bucket, size) > earliest:
                break
            most = size
        return most

    def _filled(
        self,
        bucket: ServedBucket,
        entries: list[QueuedItem],
        waiting: Sequence[BucketQueue],
        now: float,
        ends_by: float,
    ) -> list[QueuedItem]:
        """Add shorter documents where they are cheaper here than in their own bucket."""
        shorter = [
            queue
            for queue in waiting
            if queue.bucket.model_version == bucket.model_version
            and queue.bucket.attention == bucket.attention
            and queue.bucket.length < bucket.length
        ]
        for queue in sorted(shorter, key=lambda queue: -queue.bucket.length):
            own_share = self._forecast.work(queue.bucket, len(queue)) / len(queue)
            for entry in queue:
                size = len(entries) + 1
                cost = self._cost(bucket, size)
                if cost - self._cost(bucket, size - 1) >= own_share or now + cost > ends_by:
                    break
                joined = self._within_limits(bucket, [*entries, entry])
                if len(joined) < size or self._most_in_time(bucket, joined, now) < size:
                    break
                entries = joined
        return entries

    def _start(self, bucket: ServedBucket, entries: Sequence[QueuedItem]) -> float:
        if not self._delay_seconds or len(entries) >= self._limits.most_items(bucket):
            return 0.0
        return min(min(entry.accepted_at for entry in entries) + self._delay_seconds, entries[0].due_at)
