"""Batches drawn one step ahead, in a thread, while the step before is computed."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

from finetuning.position import Position

PartT = TypeVar("PartT")


class DrawnAhead(Generic[PartT]):
    """Calls a drawing function, which depends on the position alone, before its result is needed."""

    def __init__(self, draw: Callable[[Position], Sequence[PartT]]) -> None:
        self._draw = draw
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._next: tuple[tuple[int, int], Future[Sequence[PartT]]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._executor.shutdown(cancel_futures=True)

    def take(self, position: Position, following: Position | None) -> Sequence[PartT]:
        """Return the batch at a position.

        Args:
            position: Where the training stands.
            following: Where it will stand next, if nothing unforeseen happens; None at the end.
        """
        drawn = self._next
        if drawn is not None and drawn[0] == _key(position):
            parts = drawn[1].result()
        else:
            parts = self._executor.submit(self._draw, position).result()
        self._next = None
        if following is not None:
            self._next = (_key(following), self._executor.submit(self._draw, following))
        return parts


def _key(position: Position) -> tuple[int, int]:
    return position.stage, position.total_steps
