"""When a request could be finished, before it is accepted: refused at once is better than refused after its deadline.

The work ahead of a request is the rest of the batches that run, the entries in turn that are due no later than it (but
not the later parts of other requests, if it has none itself), and of those behind their share the ones whose turn comes
before its last. Its own work shares batches with entries of its buckets. Each bucket is taken to run in batches of the
cheapest size, and all devices to share the work.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate

from bigbird_inference.buckets import ServedBucket
from service.batching.batch_limits import BatchLimits
from service.batching.bucket_queue import BucketQueue, Place
from service.batching.cost_model import CostModel


class Forecast:
    """Predicts how long queued work takes.

    Args:
        cost_model: Predicts the seconds of a batch.
        limits: The caps of every bucket.
    """

    def __init__(self, cost_model: CostModel, limits: BatchLimits) -> None:
        self._cost_model = cost_model
        self._limits = limits

    def alone(self, bucket: ServedBucket) -> float:
        """Return the seconds of a run with one sequence."""
        return self._cost_model.predict(bucket.key, 1)

    def work(self, bucket: ServedBucket, items: int) -> float:
        """Return the seconds in which so many sequences of a bucket are run."""
        if not items:
            return 0.0
        most = min(items, self._limits.most_items(bucket))
        # Every size that is a power of two, and the largest.
        sizes = {1 << exponent for exponent in range(most.bit_length())} | {most}
        return items * min(self._cost_model.predict(bucket.key, size) / size for size in sizes)

    def finish(
        self,
        queues: Iterable[BucketQueue],
        new: Sequence[ServedBucket],
        place: Place,
        remaining: Sequence[float],
    ) -> float:
        """Return the seconds after which new sequences are all done.

        Several devices share the work evenly at best, and the longest of the new sequences takes its time on one.

        Args:
            queues: What waits.
            new: The bucket of each of them.
            place: That of the last of them.
            remaining: What each device still has to do of what it was given.
        """
        own = Counter(bucket.key for bucket in new)
        work = sum(self.work(queue.bucket, queue.ahead_of(place) + own[queue.bucket.key]) for queue in queues)
        # Only devices that are free before the others are done take a part of it.
        ahead = accumulate(sorted(remaining))
        shared = min((before + work) / devices for devices, before in enumerate(ahead, start=1))
        return max(shared, min(remaining) + max(self.alone(bucket) for bucket in new))
