"""When a request could be finished, before it is accepted: refused at once is better than refused after its deadline.

The work ahead of a request is the rest of the batch that runs and every entry that is due no later than it; its own
work shares batches with entries of its buckets. Each bucket is taken to be worked off in batches of the cheapest size.
"""

from collections.abc import Iterable, Mapping

from service.batching.batch_limits import BatchLimits
from service.batching.bucket_queue import BucketQueue
from service.batching.buckets import ServedBucket
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
        return self._cost_model.predict(bucket.model, bucket.length, 1)

    def work(self, bucket: ServedBucket, items: int) -> float:
        """Return the seconds in which so many sequences of a bucket are worked off."""
        if not items:
            return 0.0
        most = min(items, self._limits.most_items(bucket))
        # Every size that is a power of two, and the largest.
        sizes = {1 << exponent for exponent in range(most.bit_length())} | {most}
        return items * min(self._cost_model.predict(*bucket.key, size) / size for size in sizes)

    def finish(self, queues: Iterable[BucketQueue], new: Mapping[tuple[str, int], int], due_at: float) -> float:
        """Return the seconds after which new sequences, so many in each bucket, are all done.

        Args:
            queues: What waits.
            new: Numbers of sequences by bucket.
            due_at: When the last of them is due.
        """
        return sum(self.work(queue.bucket, queue.due_until(due_at) + new.get(queue.bucket.key, 0)) for queue in queues)
