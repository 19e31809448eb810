"""How many sequences a batch of a bucket may hold: by a count, by padded tokens, by memory, and by what has failed."""

from bigbird_inference.buckets import BucketKey, ServedBucket
from service.batching.cost_model import MeasuredCurve

# The run's output, and each requester's copy of its part of it.
_OUTPUT_COPIES = 2


class BatchLimits:
    """The caps of every bucket.

    Memory is what warm-up measured for the bucket and size, and above the largest size it measured, the straight line
    through its last two. To it comes what warm-up cannot show: outputs at the positions that sequences ask for, in
    full (a vocabulary of 50,358 makes 0.2 MB for each). One sequence always goes.

    Args:
        max_items: Most sequences in a batch.
        max_tokens: Most padded tokens in a batch.
        max_memory_bytes: Most memory that a run may take; None for no bound.
    """

    def __init__(self, max_items: int, max_tokens: int, max_memory_bytes: int | None = None) -> None:
        self._max_items = max_items
        self._max_tokens = max_tokens
        self._max_memory_bytes = max_memory_bytes
        self._memory: dict[BucketKey, MeasuredCurve] = {}
        self._lowered: dict[BucketKey, int] = {}
        self._known: dict[tuple[BucketKey, int], int] = {}

    def most_items(self, bucket: ServedBucket, positions: int = 0) -> int:
        """Return how many sequences may go together if one of them has so many positions and none has more."""
        key = (bucket.key, positions)
        if key not in self._known:
            self._known[key] = self._count(bucket, positions)
        return self._known[key]

    def memory_measured(self, bucket: ServedBucket, items: int, used_bytes: int) -> None:
        """Take a measurement of warm-up."""
        self._memory.setdefault(bucket.key, MeasuredCurve()).add(items, float(used_bytes))
        self._known.clear()

    def memory_of(self, bucket: ServedBucket, items: int) -> int | None:
        """Return what a batch takes by the measurements, or None without any."""
        curve = self._memory.get(bucket.key)
        used = None if curve is None else curve.at(items)
        return None if used is None else int(used)

    def out_of_memory(self, bucket: ServedBucket, items: int) -> None:
        """Never try so many again, half at most."""
        self._lowered[bucket.key] = min(max(1, items // 2), self._lowered.get(bucket.key, self._max_items))
        self._known.clear()

    def forget(self, key: BucketKey) -> None:
        """Drop what is known of a bucket that is served no more."""
        self._memory.pop(key, None)
        self._lowered.pop(key, None)
        self._known.clear()

    def _count(self, bucket: ServedBucket, positions: int) -> int:
        most = min(
            self._max_items if bucket.max_items is None else min(bucket.max_items, self._max_items),
            self._max_tokens // bucket.length,
            self._lowered.get(bucket.key, self._max_items),
        )
        while most > 1 and not self._fits_memory(bucket, most, positions):
            most -= 1
        return max(1, most)

    def _fits_memory(self, bucket: ServedBucket, items: int, positions: int) -> bool:
        if self._max_memory_bytes is None:
            return True
        measured = self.memory_of(bucket, items) or 0
        outputs = items * positions * bucket.position_bytes * _OUTPUT_COPIES
        return measured + outputs <= self._max_memory_bytes
