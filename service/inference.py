"""One request's way through a model: encode, run every window, decode.

A request may hold several items (a list of texts); their windows are accepted together or not at all, run among
everybody else's, and each item is decoded as soon as its windows are there.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from service.batching.work_item import InferenceResult, WorkItem
from service.errors import DeadlineExceeded, InferenceFailed, InvalidInput, ServiceError
from service.loading import LoadedModel
from service.serving import Serving
from service.tasks.base import EncodedRequest

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Usage:
    """What one item cost.

    Attributes:
        tokens: Tokens that the model read: all windows, special tokens included, padding not.
        windows: Number of windows.
        buckets: Padded length of each window's run, in window order.
        queue_ms: Longest wait of a window, in milliseconds.
        inference_ms: Longest run of a batch that held one of the windows, in milliseconds.
    """

    tokens: int
    windows: int
    buckets: list[int]
    queue_ms: float
    inference_ms: float


@dataclass(frozen=True, slots=True)
class ItemResult:
    """A task's answer for one item, and its cost."""

    answer: Any
    usage: Usage


class ItemFailed(Exception):
    """One item of a request failed, and the request with it.

    Attributes:
        index: Position of the item in the request.
        error: What went wrong with it.
    """

    def __init__(self, index: int, error: ServiceError) -> None:
        super().__init__(index, error)
        self.index = index
        self.error = error


async def infer(serving: Serving, model: LoadedModel, requests: Sequence[Any], timeout_ms: int) -> list[ItemResult]:
    """Answer every item of a request with a model, in order.

    Args:
        serving: The running service.
        model: The model to ask.
        requests: What the model's task encodes, one for each item.
        timeout_ms: Time for everything, in milliseconds.

    Raises:
        ItemFailed: An item could not be encoded, run or decoded; everything else of the request is given up.
        DeadlineExceeded: Time is up.
        ServiceError: The windows were not accepted, or the server stopped before they had run.
    """
    loop = asyncio.get_running_loop()
    deadline = serving.scheduler.now() + timeout_ms / 1000
    futures: list[asyncio.Future[InferenceResult]] = []
    try:
        async with asyncio.timeout(timeout_ms / 1000) as limit:
            encoding = [loop.run_in_executor(serving.text_threads, model.task.encode, request) for request in requests]
            encoded: list[EncodedRequest[Any]] = await _in_order(encoding)
            items = [WorkItem(model.name, window.sequence, deadline) for item in encoded for window in item.windows]
            futures = serving.scheduler.submit_all(items)
            waiting = iter(futures)
            finishing = [
                loop.create_task(_finish(serving, model, item, [next(waiting) for _ in item.windows]))
                for item in encoded
            ]
            return await _in_order(finishing)
    except TimeoutError:
        if limit.expired():
            raise DeadlineExceeded(f"The request was not answered within {timeout_ms} ms.") from None
        raise
    finally:
        _give_up(futures)


async def _in_order(futures: Sequence[asyncio.Future[ResultT]]) -> list[ResultT]:
    """Wait for one future per item; the first item that fails, in their order, fails the request."""
    results = []
    try:
        for index, future in enumerate(futures):
            try:
                results.append(await future)
            except (InvalidInput, InferenceFailed) as error:
                raise ItemFailed(index, error) from error
        return results
    finally:
        _give_up(futures)


def _give_up(futures: Sequence[asyncio.Future[Any]]) -> None:
    """Cancel what has not ended, and take note of failures that nobody waits for any more."""
    for future in futures:
        if not future.cancel() and not future.cancelled():
            future.exception()


async def _finish(
    serving: Serving,
    model: LoadedModel,
    encoded: EncodedRequest[Any],
    windows: Sequence[asyncio.Future[InferenceResult]],
) -> ItemResult:
    """Wait for an item's windows and decode their logits."""
    results = await asyncio.gather(*windows)
    answer = await asyncio.get_running_loop().run_in_executor(
        serving.text_threads, model.task.decode, encoded, [result.logits for result in results]
    )
    usage = Usage(
        tokens=sum(len(window.sequence) for window in encoded.windows),
        windows=len(results),
        buckets=[result.bucket for result in results],
        queue_ms=_milliseconds(max(result.queue_seconds for result in results)),
        inference_ms=_milliseconds(max(result.inference_seconds for result in results)),
    )
    return ItemResult(answer, usage)


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
