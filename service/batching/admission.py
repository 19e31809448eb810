"""How much work may wait, and the refusal of what goes beyond or would come too late."""

from dataclasses import dataclass

from service.errors import DeadlineUnreachable, QueueFull, TextTooLarge


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


def refuse_unreachable(needed_seconds: float, left_seconds: float) -> None:
    """Refuse a request that could not be finished before its deadline.

    Args:
        needed_seconds: What the cost model says of the work ahead and of the request's own.
        left_seconds: Time until the deadline.

    Raises:
        DeadlineUnreachable: There is less time than is needed.
    """
    if needed_seconds > left_seconds:
        raise DeadlineUnreachable(
            f"By the measured speed the work ahead of the request and its own take {needed_seconds:.2f} s, and it has "
            f"{max(left_seconds, 0.0):.2f} s; nothing was run."
        )
