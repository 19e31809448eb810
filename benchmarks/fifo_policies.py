"""How other servers batch: first in, first out, whatever the lengths, padded to the longest of the batch."""

from collections.abc import Iterable

from service.batching.bucket_queue import BucketQueue, QueuedItem
from service.batching.policy import Selection


class _Fifo:
    """Takes no note of what has begun."""

    def begun(self, selection: Selection) -> None:
        """Do nothing: there are no turns."""


class CountFifo(_Fifo):
    """Up to a number of documents, as LitServe or a queue with `max_batch_size` takes them.

    Args:
        max_items: Most documents in a batch.
    """

    def __init__(self, max_items: int) -> None:
        self._max_items = max_items

    def select(self, queues: Iterable[BucketQueue], now: float) -> Selection | None:
        """Return the oldest entries."""
        return _padded_to_the_longest(_by_arrival(queues)[: self._max_items])


class TokenBudgetFifo(_Fifo):
    """As many documents as fit a budget of padded tokens, as text-embeddings-inference takes them for ONNX.

    Args:
        max_tokens: Most padded tokens in a batch; a single document always goes.
    """

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens

    def select(self, queues: Iterable[BucketQueue], now: float) -> Selection | None:
        """Return the oldest entries within the budget."""
        entries: list[QueuedItem] = []
        longest = 0
        for entry in _by_arrival(queues):
            longest = max(longest, entry.bucket.length)
            if entries and longest * (len(entries) + 1) > self._max_tokens:
                break
            entries.append(entry)
        return _padded_to_the_longest(entries)


def _by_arrival(queues: Iterable[BucketQueue]) -> list[QueuedItem]:
    return sorted((entry for queue in queues for entry in queue), key=lambda entry: entry.number)


def _padded_to_the_longest(entries: list[QueuedItem]) -> Selection | None:
    if not entries:
        return None
    longest = max(entries, key=lambda entry: entry.bucket.length)
    return Selection(longest.bucket, entries)
