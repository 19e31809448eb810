"""One request's way through a model: encode, run every window, decode, write.

A request may hold several items (a list of texts); their windows are accepted together or not at all, run among
everybody else's, and each item is decoded and written as soon as its windows are there. A task that builds its answer
step by step (text generation) has its next windows run first, as often as it asks for it.

What an item's answer takes is known once it is written, and not before: a span can be a word or the whole document. So
the bytes are summed item by item, and an answer that becomes too large ends the request there.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import dataclass, fields
from functools import partial
from itertools import islice
from typing import Annotated, Any, Generic, TypeVar

from pydantic import Field

from bigbird_inference.buckets import smallest_bucket
from bigbird_inference.errors import (
    InferenceFailed,
    InvalidInput,
    ServiceError,
)
from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.runtime.session import Outputs
from bigbird_inference.tasks.base import EncodedRequest, Task
from service.answer_limits import AnswerBytes, answered_within
from service.batching.bucket_queue import InferenceResult, WorkItem
from service.batching.shares import Share
from service.serving import Serving
from service.telemetry.request_record import ItemRecord, RequestRecord

_ITEM_ERRORS = (InvalidInput, InferenceFailed)
"""What an item's own text or windows cause; everything else concerns the whole request."""

ResultT = TypeVar("ResultT")
WrittenT = TypeVar("WrittenT", bound=Sized)
"""An item's answer as it is kept until the request is answered; its length is that of its bytes."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What the answer cost."""

    tokens: Annotated[int, Field(description="Tokens that the model read over all windows, special tokens included.")]
    windows: Annotated[
        int,
        Field(
            description="Windows that were run: 1 if the document fits the model; one for each choice of "
            "`/multiple-choice` and for each token that `/generate` predicted."
        ),
    ]
    buckets: Annotated[
        list[int], Field(description="Padded length of each window's run, in the order of the document.")
    ]
    truncated_tokens: Annotated[
        int, Field(description="Tokens that no window holds: always 0, what is too long is windowed or refused.")
    ]
    queue_ms: Annotated[
        float,
        Field(description="Longest wait of a window, in milliseconds; for `/generate`, of all together."),
    ]
    inference_ms: Annotated[
        float,
        Field(
            description="Longest run of a batch with one of the windows, in milliseconds; for `/generate`, of all "
            "together. Batches are shared with others."
        ),
    ]
    revision: Annotated[
        str,
        Field(
            description="Which bundle of this name answered: the first 12 digits of its manifest's SHA-256. "
            "The header `X-Model-Revision` says the same."
        ),
    ]

    def followed_by(self, step: "Usage") -> "Usage":
        """Return the cost of this and another step after it."""
        return Usage(
            tokens=self.tokens + step.tokens,
            windows=self.windows + step.windows,
            buckets=self.buckets + step.buckets,
            queue_ms=round(self.queue_ms + step.queue_ms, 3),
            inference_ms=round(self.inference_ms + step.inference_ms, 3),
            truncated_tokens=self.truncated_tokens + step.truncated_tokens,
            revision=self.revision,
        )


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


async def infer(
    serving: Serving,
    model: LoadedModel,
    task: Task[Any, Any],
    requests: Sequence[Any],
    timeout_ms: int,
    record: RequestRecord,
    write: Callable[[ItemResult], WrittenT],
    hold: Callable[[int], None] = lambda size: None,
) -> list[WrittenT]:
    """Answer every item of a request with a model, in order.

    Args:
        serving: The running service.
        model: The model to ask, leased until the answer is there.
        task: Encodes the requests for the model and decodes what it gives: the model's own, or another on its graphs.
        requests: What the task encodes, one for each item.
        timeout_ms: Time for everything, in milliseconds.
        record: Takes note of what becomes of each item.
        write: Makes bytes, or what holds them, of an item's result; called on several threads.
        hold: Told the bytes of each item once they are written; raises TooManyRequests if the server has no room.

    Raises:
        ItemFailed: An item could not be encoded, run or decoded; everything else of the request is given up.
        AnswerTooLarge: All items together have more bytes than an answer may have; likewise.
        DeadlineExceeded: Time is up.
        ServiceError: The windows were not accepted, or the server stopped before they had run.
    """
    deadline = serving.scheduler.now() + timeout_ms / 1000
    answer_bytes = AnswerBytes(serving.settings.max_answer_bytes, task.operation.smaller_answer, hold)
    async with answered_within(timeout_ms):
        with (
            serving.scheduler.open_request(record.key) as share,
            serving.text_turns.shares.open(record.key) as text_share,
        ):
            alone = len(requests) == 1
            inference = _Inference(
                serving, model, task, deadline, record, share, text_share, write, answer_bytes, alone
            )
            return await inference.answer(requests)


async def _in_order(futures: Sequence[asyncio.Future[ResultT]]) -> list[ResultT]:
    """Wait for one future per item; the first item that fails, in their order, fails the request."""
    results = []
    try:
        for index, future in enumerate(futures):
            try:
                results.append(await future)
            except _ITEM_ERRORS as error:
                raise ItemFailed(index, error) from error
        return results
    finally:
        _give_up(futures)


def _give_up(futures: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel what has not ended, and take note of failures that nobody waits for any more."""
    for future in futures:
        if not future.cancel() and not future.cancelled():
            future.exception()


@dataclass(slots=True)
class _Inference(Generic[WrittenT]):
    """A request on its way through a model."""

    serving: Serving
    model: LoadedModel
    task: Task[Any, Any]
    deadline: float
    record: RequestRecord
    share: Share
    text_share: Share
    write: Callable[[ItemResult], WrittenT]
    answer_bytes: AnswerBytes
    alone: bool
    """Whether the request holds one item. Those of a list share the text threads, however short they are."""

    async def answer(self, requests: Sequence[Any]) -> list[WrittenT]:
        """Encode all items, have their windows accepted together, and finish each item on its own."""
        loop = asyncio.get_running_loop()
        encode = self.task.encoder()
        with self.serving.scheduler.expected(len(requests)) as expect:
            encoding = [loop.create_task(self._encode(encode, request, expect)) for request in requests]
            try:
                await _until_refused(encoding)
                encoded = await _in_order(encoding)
            finally:
                _give_up(encoding)
            futures = self.serving.scheduler.submit_all([work for item in encoded for work in self._work(item)])
        records = self._accepted(encoded)
        # What has run belongs to its item alone, so that its outputs go when it is written.
        running = set(futures)
        for future in futures:
            future.add_done_callback(running.discard)
        waiting = iter(futures)
        finishing = [
            loop.create_task(self._finish(item, list(islice(waiting, len(item.windows))), record))
            for item, record in zip(encoded, records, strict=True)
        ]
        del futures, waiting, encoded
        try:
            await _until_refused(finishing)
            return await _in_order(finishing)
        finally:
            _give_up(finishing)
            _give_up(running)

    async def _encode(
        self,
        encode: Callable[[Any], EncodedRequest[Any]],
        request: Any,
        expect: Callable[[int, int], None],
    ) -> EncodedRequest[Any]:
        """Encode an item when its turn has come, unless the request has become too large meanwhile."""
        characters = _characters(request)
        quick = self.alone and _takes_at_most(self.task.quick_bytes, request, characters)
        encoded = await self.serving.text_turns.run(self.text_share, characters, partial(encode, request), quick=quick)
        expect(len(encoded.windows), _tokens(encoded))
        return encoded

    def _work(self, encoded: EncodedRequest[Any]) -> list[WorkItem]:
        return [
            WorkItem(
                self.model.name,
                window.sequence,
                self.deadline,
                trace=self.record,
                version=self.model.version,
                share=self.share,
            )
            for window in encoded.windows
        ]

    def _accepted(self, encoded: Sequence[EncodedRequest[Any]]) -> list[ItemRecord]:
        """Take note that the windows of all items were accepted."""
        now = self.serving.scheduler.now()
        buckets = self.model.lengths
        for item in encoded:
            longest = max(len(window.sequence) for window in item.windows)
            self.record.accepted(smallest_bucket(buckets, longest), len(item.windows), _tokens(item), now)
        self.serving.metrics.request_admitted(self.record.endpoint, self.model.name, self.record.items)
        return self.record.items

    async def _finish(
        self, encoded: EncodedRequest[Any], windows: Sequence[asyncio.Future[InferenceResult]], record: ItemRecord
    ) -> WrittenT:
        """Wait for an item's windows, and for those of the steps that follow, and write what the last outputs say."""
        usage: Usage | None = None
        try:
            while True:
                results = await asyncio.gather(*windows)
                record.ran(results)
                step = _usage(encoded, results, self.model.revision)
                usage = step if usage is None else usage.followed_by(step)
                outputs = [result.outputs for result in results]
                advance = partial(self._advance, encoded, outputs, usage)
                if self.task.decodes_at_once:
                    following = advance()
                else:
                    characters = _characters(encoded.request)
                    quick = self.alone and self.task.decodes_quickly(encoded)
                    following = await self.serving.text_turns.run(self.text_share, characters, advance, quick=quick)
                if not isinstance(following, EncodedRequest):
                    record.decoded(self.serving.scheduler.now())
                    self.answer_bytes.add(len(following))
                    self.serving.metrics.item_answered(self.model.name, usage.truncated_tokens)
                    return following
                encoded = following
                windows = self.serving.scheduler.submit_further(self._work(encoded))
                record.continued(len(windows), _tokens(encoded))
        finally:
            _give_up(windows)

    def _advance(
        self, encoded: EncodedRequest[Any], outputs: Sequence[Outputs], usage: Usage
    ) -> EncodedRequest[Any] | WrittenT:
        """Ask the task for its next step, or, if there is none, for its answer, and write that."""
        following = self.task.continuation(encoded, outputs)
        return self.write(ItemResult(self.task.answer(encoded, outputs), usage)) if following is None else following


async def _until_refused(items: Sequence[asyncio.Task[Any]]) -> None:
    """Wait until all items have ended, or one has failed; raise now what concerns the whole request, not an item."""
    ended, _ = await asyncio.wait(items, return_when=asyncio.FIRST_EXCEPTION)
    for item in ended:
        error = None if item.cancelled() else item.exception()
        if error is not None and not isinstance(error, _ITEM_ERRORS):
            raise error


def _texts(request: Any) -> list[str]:
    """Return all texts of an item."""
    values = [getattr(request, field.name) for field in fields(request)]
    return [
        text for value in values for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)
    ]


def _characters(request: Any) -> int:
    return sum(map(len, _texts(request)))


def _takes_at_most(most_bytes: int, request: Any, characters: int) -> bool:
    """Tell whether all texts are no longer in UTF-8; also of texts that are refused for not being Unicode.

    Only those of few characters are written as UTF-8: this is done on the event loop.
    """
    if characters > most_bytes:
        return False
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in _texts(request)) <= most_bytes


def _tokens(encoded: EncodedRequest[Any]) -> int:
    return sum(len(window.sequence) for window in encoded.windows)


def _usage(encoded: EncodedRequest[Any], results: Sequence[InferenceResult], revision: str) -> Usage:
    return Usage(
        tokens=_tokens(encoded),
        windows=len(results),
        buckets=[result.bucket for result in results],
        truncated_tokens=0,
        queue_ms=_milliseconds(max(result.queue_seconds for result in results)),
        inference_ms=_milliseconds(max(result.inference_seconds for result in results)),
        revision=revision,
    )


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
