"""Lists of many documents beside those who bring one: whose turn it is, with runs under the test's hand."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence

import pytest

from bigbird_inference.errors import QueueFull, TextTooLarge
from service.batching.admission import QueueLimits
from service.batching.bucket_queue import InferenceResult, WorkItem
from service.batching.shares import Share, Shares
from tests.fake_model import sequence
from tests.service.asynchronous import asynchronous
from tests.service.batching.stage import LONG, SHORT, Stage, first_column, warm_stage
from tests.service.manual_executor import settle

SECONDS = {SHORT: 0.5, LONG: 4.0}
PATIENCE = 5.0
DOCUMENTS = 20


def post(
    stage: Stage, share: Share, mark: int, documents: int, tokens: int = LONG
) -> list[asyncio.Future[InferenceResult]]:
    """Submit a list of documents that begin with a token of its own."""
    items = [WorkItem("model", sequence([mark] * tokens), share=share) for _ in range(documents)]
    return stage.scheduler.submit_all(items)


def ran(stage: Stage) -> list[int]:
    """Return the first token of every document in the order in which they ran; none are batched here."""
    return [mark for batch in first_column(stage.long) for mark in batch]


def give_up(lists: Sequence[Sequence[asyncio.Future[InferenceResult]]]) -> None:
    for futures in lists:
        for future in futures:
            future.cancel()


@pytest.mark.parametrize("lists", [1, 4, 16])
@asynchronous
async def test_a_short_request_is_next_but_one_beside_any_number_of_lists(lists: int) -> None:
    """It was last before there were shares: after their patience, all documents of the lists went before it."""
    async with warm_stage(
        short_seconds=SECONDS[SHORT], long_seconds=SECONDS[LONG], patience_seconds=PATIENCE, max_queued_items=1000
    ) as stage:
        with contextlib.ExitStack() as opened:
            shares = [opened.enter_context(stage.scheduler.open_request()) for _ in range(lists)]
            posted = [post(stage, share, mark, DOCUMENTS) for mark, share in enumerate(shares, start=1)]
            # Their first documents are no more than those of as many requests with one document.
            for _ in range(lists):
                await settle()
                await stage.executor.run_next()
            waits = []
            for _ in range(10):
                await settle()
                await stage.executor.run_next()  # one of a list has begun when the short request comes
                with stage.scheduler.open_request() as own:
                    (short,) = post(stage, own, 99, 1, SHORT)
                    while not short.done():
                        await settle()
                        await stage.executor.run_next()
                waits.append((await short).queue_seconds)
            give_up(posted)
    assert max(waits) <= 2 * SECONDS[LONG]


@asynchronous
async def test_a_short_deadline_is_not_refused_for_work_that_goes_after_it() -> None:
    """Beside four lists: the run under way, one that is overdue, and its own are in time."""
    async with warm_stage(
        short_seconds=SECONDS[SHORT], long_seconds=SECONDS[LONG], patience_seconds=PATIENCE, max_queued_items=1000
    ) as stage:
        with contextlib.ExitStack() as opened:
            shares = [opened.enter_context(stage.scheduler.open_request()) for _ in range(5)]
            posted = [post(stage, share, 1, DOCUMENTS) for share in shares[:4]]
            for _ in range(12):
                await settle()
                await stage.executor.run_next()
            deadline = stage.clock.now + 2 * SECONDS[LONG] + SECONDS[SHORT]
            short = stage.scheduler.submit(WorkItem("model", sequence([99] * SHORT), deadline, share=shares[4]))
            while not short.done():
                await settle()
                await stage.executor.run_next()
            give_up(posted)
    assert (await short).bucket == SHORT


@asynchronous
async def test_a_list_alone_keeps_the_device_busy_and_in_its_order() -> None:
    async with warm_stage(long_seconds=SECONDS[LONG]) as stage:
        with stage.scheduler.open_request() as share:
            items = [WorkItem("model", sequence([mark] * LONG), share=share) for mark in range(1, 21)]
            futures = stage.scheduler.submit_all(items)
            began = stage.clock.now
            await stage.run_all()
            assert all(future.done() for future in futures)
    assert ran(stage) == list(range(1, 21))
    assert stage.clock.now - began == DOCUMENTS * SECONDS[LONG]


@asynchronous
async def test_two_lists_take_turns_whenever_they_came() -> None:
    async with warm_stage(long_seconds=SECONDS[LONG], patience_seconds=1e9) as stage:
        with stage.scheduler.open_request() as first, stage.scheduler.open_request() as second:
            early = post(stage, first, 1, DOCUMENTS)
            for _ in range(6):
                await settle()
                await stage.executor.run_next()
            late = post(stage, second, 2, DOCUMENTS)
            for _ in range(8):
                await settle()
                await stage.executor.run_next()
            give_up([early, late])
    assert Counter(ran(stage)[6:]) == {1: 4, 2: 4}


@asynchronous
async def test_the_requests_of_a_key_share_what_one_of_another_has() -> None:
    async with warm_stage(long_seconds=SECONDS[LONG], patience_seconds=1e9) as stage:
        with contextlib.ExitStack() as opened:
            shares = [opened.enter_context(stage.scheduler.open_request(key)) for key in ("a", "a", "a", "b")]
            posted = [post(stage, share, mark, DOCUMENTS) for mark, share in zip((1, 1, 1, 2), shares, strict=True)]
            for _ in range(16):
                await settle()
                await stage.executor.run_next()
            give_up(posted)
    turns = Counter(ran(stage))
    assert turns[1] == pytest.approx(turns[2], abs=2)


@asynchronous
async def test_a_list_keeps_half_of_the_device_beside_endless_short_requests() -> None:
    """As many of them come as can be run; from the end of its patience on, the list has its half."""
    async with warm_stage(
        short_seconds=SECONDS[SHORT], long_seconds=SECONDS[LONG], patience_seconds=PATIENCE, max_queued_items=10_000
    ) as stage:
        with contextlib.ExitStack() as opened:
            listed = post(stage, opened.enter_context(stage.scheduler.open_request()), 1, DOCUMENTS)
            began = stage.clock.now
            shorts = []
            while stage.clock.now - began < 80:
                shorts += post(stage, opened.enter_context(stage.scheduler.open_request()), 99, 1, SHORT)
                await settle()
                await stage.executor.run_next()
            done = sum(future.done() for future in listed)
            give_up([listed, shorts])
    assert done * SECONDS[LONG] >= 0.4 * (80 - PATIENCE)


def test_the_level_rises_as_slowly_as_there_are_requests() -> None:
    shares = Shares()
    with shares.open() as first, shares.open() as second:
        assert first.take([2.0, 2.0]) == [0.0, 2.0]
        assert second.starts([5.0]) == [0.0]
        shares.spend(2.0)
        assert shares.level == 1.0
        assert (first.take([1.0]), second.take([1.0])) == ([4.0], [1.0])
    shares.spend(2.0)
    assert shares.level == 3.0
    shares.skip_to(2.0)
    assert shares.level == 3.0


def test_an_eighth_of_the_queue_is_kept_for_small_requests() -> None:
    limits = QueueLimits(max_items=1024, max_tokens=1_048_576)
    limits.refuse_oversized(896, 0)
    with pytest.raises(TextTooLarge, match=r"897 windows .* at most 896 windows"):
        limits.refuse_oversized(897, 0)
    limits.refuse_overflow(17, 0, 896 - 17, 0, lambda: 1.0)
    limits.refuse_overflow(16, 16_384, 1024 - 16, 1_048_576 - 16_384, lambda: 1.0)
    with pytest.raises(QueueFull):
        limits.refuse_overflow(17, 0, 896, 0, lambda: 1.0)
    with pytest.raises(QueueFull):
        limits.refuse_overflow(16, 0, 1024 - 15, 0, lambda: 1.0)
