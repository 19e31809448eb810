"""Progress of long work, on standard error: a bar on a terminal, plain lines elsewhere.

Plain lines also where `TERM` is `dumb`: a terminal that cannot draw over a line, or one that several programs share.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


class Progress:
    """Counts what is done.

    Args:
        description: What is done.
        total: How much there is of it; None if nobody knows, which needs `line_seconds`.
        unit: What is counted, for example "request".
        line_seconds: Time between two plain lines; None for a line at every tenth of the total.
        scaled: Whether numbers are so large that a bar has them in thousands and millions, and a line in percent.
        begun: What was done before, in a run that this one goes on with.
    """

    def __init__(
        self,
        description: str,
        total: int | None,
        unit: str,
        line_seconds: float | None = None,
        *,
        scaled: bool = False,
        begun: int = 0,
    ) -> None:
        self.description = description
        self._total = total
        self._unit = unit
        self._line_seconds = line_seconds
        self._last_line = float("-inf")
        self._scaled = scaled
        self._begun = self._done = begun
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def advance(self, done: int | None = None, **figures: str) -> None:
        """Take note that one more is done, or so many altogether.

        Args:
            done: How many are done; None for one more.
            figures: What to print beside it, by name.

        Where nothing can be printed, because nobody reads it or the disk is full, the work goes on without.
        """
        before, self._done = self._done, self._done + 1 if done is None else done
        with contextlib.suppress(OSError):
            self._show(before, figures)

    def _show(self, before: int, figures: Mapping[str, str]) -> None:
        if sys.stderr is None:  # closed
            return
        if _draws_bars():
            if self._bar is None:
                self._bar = tqdm(
                    total=self._total,
                    desc=self.description,
                    unit=self._unit,
                    unit_scale=self._scaled,
                    initial=self._begun,
                    dynamic_ncols=True,
                )
            self._bar.set_postfix(figures, refresh=False)
            self._bar.update(self._done - self._bar.n)
        elif self._is_due(before):
            said = "".join(f", {name} {value}" for name, value in figures.items())
            print(f"{self.description}: {self._far()}{said}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            with contextlib.suppress(OSError):
                self._bar.close()
            self._bar = None

    def _far(self) -> str:
        if self._total is None:
            return f"{self._done:,} {self._unit}"
        return f"{self._done / max(self._total, 1):.0%}" if self._scaled else f"{self._done}/{self._total}"

    def _is_due(self, before: int) -> bool:
        if self._line_seconds is None:
            assert self._total is not None, "without a total, lines need a time"
            return self._done * 10 // self._total != before * 10 // self._total
        now = time.monotonic()
        due = now - self._last_line > self._line_seconds
        if due:
            self._last_line = now
        return due


def _draws_bars() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def track(items: Iterable[Item], total: int, describe: Callable[[Item], str]) -> Iterator[Item]:
    """Yield the items, and tell which one is worked on and how many are done.

    Args:
        items: The work.
        total: How many items there are.
        describe: What to call an item, for example "bucket 512".
    """
    if sys.stderr is None:  # closed
        yield from items
        return
    if _draws_bars():
        with tqdm(total=total, file=sys.stderr, leave=True) as bar:
            for item in items:
                bar.set_description(describe(item))
                yield item
                bar.update()
        return
    for number, item in enumerate(items, start=1):
        print(f"[{number}/{total}] {describe(item)}", file=sys.stderr, flush=True)
        yield item
