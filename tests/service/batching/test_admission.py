"""No bucket starves another: the bound of `service.batching.policy`, under traffic made to break it."""

import asyncio
import contextlib

import pytest

from bigbird_inference.errors import DeadlineUnreachable
from service.batching.bucket_queue import InferenceResult
from tests.service.asynchronous import asynchronous
from tests.service.batching.stage import LONG, SHORT, Stage, warm_stage
from tests.service.manual_executor import settle

SECONDS = {SHORT: 1.0, LONG: 4.0}
PATIENCE = 5.0
MOST_ITEMS = 4
BEFORE = 6


async def wait_among_rivals(stage: Stage, victim_tokens: int, rival_tokens: int, rival_timeout: float | None) -> float:
    """Return how long a document waits behind some rivals while three more arrive before every run."""
    rivals = [stage.submit(*[1] * rival_tokens) for _ in range(BEFORE)]
    await settle()
    victim: asyncio.Future[InferenceResult] = stage.submit(*[2] * victim_tokens)
    for _ in range(100):
        for _ in range(3):
            with contextlib.suppress(DeadlineUnreachable):
                rivals.append(stage.submit(*[1] * rival_tokens, timeout=rival_timeout))
        await settle()
        for executor in stage.executors:
            await executor.run_next()
        if victim.done():
            break
    assert victim.done(), "it starved"
    assert any(not rival.done() for rival in rivals), "nobody was in its way"
    for rival in rivals:
        rival.cancel()
    return victim.result().queue_seconds


@pytest.mark.parametrize(
    ("devices", "places"),
    [
        pytest.param(1, 1, id="one device"),
        pytest.param(1, 2, id="one device that is given batches ahead"),
        pytest.param(2, 1, id="two devices"),
    ],
)
@pytest.mark.parametrize(
    ("victim_tokens", "rival_tokens", "rival_timeout"),
    [
        pytest.param(LONG, SHORT, None, id="a long document under ever more short ones"),
        pytest.param(SHORT, LONG, None, id="a short document under ever more long ones"),
        pytest.param(SHORT, SHORT, None, id="a document among its equals"),
        pytest.param(LONG, SHORT, 6.0, id="a long document under short ones with short deadlines"),
    ],
)
@asynchronous
async def test_a_document_waits_no_longer_than_its_patience_and_what_was_there_before(
    victim_tokens: int, rival_tokens: int, rival_timeout: float | None, devices: int, places: int
) -> None:
    async with warm_stage(
        short_seconds=SECONDS[SHORT],
        long_seconds=SECONDS[LONG],
        patience_seconds=PATIENCE,
        max_items=MOST_ITEMS,
        max_queued_items=10_000,
        devices=devices,
        places=places,
    ) as stage:
        waited = await wait_among_rivals(stage, victim_tokens, rival_tokens, rival_timeout)
    # Due after its patience, it lets go first what is due earlier, which can only be what was there before, and batches
    # that had been given to devices. (Devices that would work at the same time take turns on the clock of the test.)
    given = devices * places * MOST_ITEMS
    assert waited <= PATIENCE + (BEFORE + given) * SECONDS[rival_tokens]


@asynchronous
async def test_without_the_bound_the_long_document_would_starve() -> None:
    """The traffic above is hostile indeed: with endless patience, 100 runs go by."""
    async with warm_stage(
        short_seconds=SECONDS[SHORT], long_seconds=SECONDS[LONG], patience_seconds=1e9, max_queued_items=10_000
    ) as stage:
        with pytest.raises(AssertionError, match="it starved"):
            await wait_among_rivals(stage, LONG, SHORT, None)
        for queue in stage.scheduler._room.queues:
            for entry in list(queue):
                entry.future.cancel()
