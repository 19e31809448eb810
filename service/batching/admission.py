"""How much work may wait, and the refusal of what goes beyond."""

from dataclasses import dataclass

from service.errors import QueueFull, TextTooLarge


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Bounds on everything that waits, over all models and buckets.

    Attributes:
        max_items: Most windows that wait.
        max_tokens: Most real tokens that wait.
    """

    max_items: int
    max_tokens: int

    def refuse_oversized(self, items: int, tokens: int) -> None:
        """Refuse a request that an empty queue could not take either, so that nobody retries it.

        Raises:
            TextTooLarge: The request alone is over a bound.
        """
        if items > self.max_items or tokens > self.max_tokens:
            raise TextTooLarge(
                f"The request makes {items} windows of {tokens} tokens together; at most {self.max_items} windows and "
                f"{self.max_tokens} tokens can wait at once. Send it in parts, or with a smaller window_stride."
            )

    def refuse_overflow(self, items: int, tokens: int, retry_after_seconds: float) -> None:
        """Refuse when the queue would hold `items` and `tokens`, which is more than it may.

        Raises:
            QueueFull: It may fit later.
        """
        if items > self.max_items or tokens > self.max_tokens:
            raise QueueFull("The queue is full; nothing was accepted.", retry_after_seconds=retry_after_seconds)
