"""Contestants of the GPU benchmark that compute nothing, and fail as they are told to, in this process."""

import traceback
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np

from benchmarks.limited_worker import LimitedWorker
from benchmarks.worker import WorkerFailed
from bigbird_inference.runtime.session import Batch, Float32Array

LABELS = 4


class ProcessEnds(BaseException):
    """Stands for the end of a process."""


def logits_of(batch: Batch) -> Float32Array:
    """Return numbers that tell documents apart."""
    return (batch.input_ids[:, :LABELS] / 1000).astype(np.float32)


class FakeContestant:
    """Answers at once.

    Args:
        length: Of its documents.
        counts: How many at a time.
        most: Documents at a time beyond which memory is short.
        offset: What is added to every logit.
        dies_at: Length at which its process ends.
        runs: Runs after which a further one fails; None for never.
    """

    remark = "chosen by nobody"

    def __init__(
        self,
        length: int,
        counts: Sequence[int],
        *,
        most: int = 64,
        offset: float = 0.0,
        dies_at: int = 0,
        runs: int | None = None,
    ) -> None:
        self._most = most
        self._offset = offset
        self._left = runs
        if length == dies_at:
            raise ProcessEnds

    def __call__(self, batch: Batch) -> Float32Array:
        if len(batch.input_ids) > self._most:
            raise MemoryError("no room for the batch")
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise ValueError("tired")
        return logits_of(batch) + np.float32(self._offset)


def unloadable(length: int, counts: Sequence[int]) -> FakeContestant:
    """Load nothing."""
    raise ImportError("peer is not installed here")


class LocalWorker(LimitedWorker):
    """A worker without a process: answers are made when they are asked for."""

    def __init__(self, name: str, answer_seconds: float, make: Callable[..., object], *arguments: object) -> None:
        self.name = name
        self._make = partial(make, *arguments)
        self._made: object = None
        self._answers: list[Any] = []
        self._has_ended = False

    def wait_until_made(self) -> None:
        self._made = self._try(self._make)

    def ask(self, method: str, *arguments: object) -> None:
        if self._has_ended:
            raise WorkerFailed(f"{self.name}: the process has ended")
        self._answers.append(partial(getattr(self._made, method), *arguments))

    def answer(self) -> Any:
        return self._try(self._answers.pop())

    def _try(self, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except ProcessEnds:
            self._has_ended = True
            raise WorkerFailed(f"{self.name}: the process ended with status 7") from None
        except Exception:
            self._has_ended = True
            raise WorkerFailed(f"{self.name}: {traceback.format_exc()}") from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._made = None
