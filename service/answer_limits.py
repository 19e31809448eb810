"""What the answer of one request may take: bytes, and time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from bigbird_inference.errors import AnswerTooLarge, DeadlineExceeded


@dataclass(slots=True)
class AnswerBytes:
    """The bytes of one request's answer, as they are made.

    Attributes:
        most: Most that an answer may have.
        advice: What a client can do for fewer, beside sending fewer or shorter texts.
        hold: Told the bytes of each item; raises TooManyRequests if the server has no room.
        written: How many there are.
    """

    most: int
    advice: str | None
    hold: Callable[[int], None]
    written: int = 0

    def add(self, size: int) -> None:
        """Count an item's bytes.

        Raises:
            AnswerTooLarge: All items of the request have too many together.
            TooManyRequests: All requests have.
        """
        self.written += size
        if self.written > self.most:
            or_else = f", or {self.advice}" if self.advice else ""
            raise AnswerTooLarge(f"The answer has more than {self.most} bytes; send fewer or shorter texts{or_else}.")
        self.hold(size)


@contextlib.asynccontextmanager
async def answered_within(timeout_ms: int) -> AsyncIterator[None]:
    """End what is done within when its time is up.

    Raises:
        DeadlineExceeded: It is.
    """
    try:
        async with asyncio.timeout(timeout_ms / 1000) as limit:
            yield
    except TimeoutError:
        if limit.expired():
            raise DeadlineExceeded(f"The request was not answered within {timeout_ms} ms.") from None
        raise
