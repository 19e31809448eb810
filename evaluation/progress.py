"""Progress of many requests: a bar on a terminal, a line for every tenth elsewhere."""

import sys
from types import TracebackType
from typing import Any

from tqdm import tqdm


class Progress:
    """Counts what is done, on standard error.

    Args:
        description: What is done.
        total: How much there is of it.
    """

    def __init__(self, description: str, total: int) -> None:
        self._description = description
        self._total = total
        self._done = 0
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> "Progress":
        if sys.stderr.isatty():
            self._bar = tqdm(total=self._total, desc=self._description, file=sys.stderr, unit="request")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self) -> None:
        """One more is done."""
        self._done += 1
        if self._bar is not None:
            self._bar.update()
        elif self._done * 10 // self._total != (self._done - 1) * 10 // self._total:
            print(f"{self._description}: {self._done}/{self._total}", file=sys.stderr, flush=True)
