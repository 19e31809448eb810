"""The policy alone: given what waits and what runs cost, which batch is next."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from bigbird_inference.buckets import BucketKey, ServedBucket
from service.batching.batch_limits import BatchLimits
from service.batching.bucket_queue import BucketQueue, QueuedItem, WorkItem
from service.batching.cost_model import CostModel
from service.batching.policy import LeastDelay
from tests.fake_model import FakeSession, sequence
from tests.service.manual_executor import FakeClock

NOW = 1000.0
FAR = 60.0
SIZES = (1, 2, 4, 8, 16, 32, 64)

Cost = Callable[[int, int], float]


def on_cpu(length: int, items: int) -> float:
    """A second for each 100 padded tokens, however they are batched."""
    return length * items / 100


def on_gpu(length: int, items: int) -> float:
    """A second for any batch, and very little for its tokens."""
    return 1 + length * items * 1e-6


class Waiting:
    """Entries in two buckets of one model, and the policy over them."""

    def __init__(
        self, cost: Cost, *, max_items: int = 64, max_tokens: int = 10**6, same_attention: bool = True
    ) -> None:
        self.cost_model = CostModel(FakeClock())
        kinds = ("full", "full" if same_attention else "block_sparse")
        self.queues: dict[int, BucketQueue] = {}
        for length, kind in zip((100, 400), kinds, strict=True):
            bucket = ServedBucket("model", length, FakeSession(), 0, attention=kind)  # type: ignore[arg-type]
            self.queues[length] = BucketQueue(replace(bucket, position_bytes=1000))
            for items in SIZES:
                self.cost_model.measured(BucketKey("model", length), items, cost(length, items))
        self.limits = BatchLimits(max_items, max_tokens, max_memory_bytes=100_000)
        self.number = 0

    def add(
        self,
        length: int,
        *,
        waited: float = 0.0,
        due_in: float = FAR,
        time_left: float | None = None,
        positions: int | None = None,
        count: int = 1,
    ) -> list[QueuedItem]:
        nobody: Any = None
        added = []
        for _ in range(count):
            self.number += 1
            encoded = sequence([1] * 5)
            if positions is not None:
                encoded = replace(encoded, positions=encoded.input_ids[:1].repeat(positions))
            item = WorkItem("model", encoded, None if time_left is None else NOW + time_left)
            queue = self.queues[length]
            added.append(QueuedItem(item, queue.bucket, nobody, NOW - waited, NOW + due_in, self.number))
            queue.add(added[-1])
        return added

    def select(self, delay_seconds: float = 0.0) -> tuple[int, Sequence[QueuedItem], float]:
        policy = LeastDelay(self.cost_model, self.limits, delay_seconds)
        selection = policy.select(self.queues.values(), NOW)
        assert selection is not None
        return selection.bucket.length, selection.entries, selection.start_at


def test_nothing_waits_nothing_runs() -> None:
    waiting = Waiting(on_cpu)
    assert LeastDelay(waiting.cost_model, waiting.limits).select(waiting.queues.values(), NOW) is None


def test_where_batching_gains_nothing_each_document_runs_alone() -> None:
    waiting = Waiting(on_cpu)
    first, *_ = waiting.add(100, waited=3, count=20)
    assert waiting.select()[:2] == (100, [first])


def test_where_a_batch_costs_as_much_as_a_document_all_of_them_run_together() -> None:
    waiting = Waiting(on_gpu)
    entries = waiting.add(100, waited=3, count=20)
    assert waiting.select()[:2] == (100, entries)


def test_a_small_gain_is_worth_a_batch_only_when_many_wait() -> None:
    # 2 cost 5% less together: C(1) = 1, C(2) = 1.9, then in proportion. Of N waiting, batches of 2 delay by
    # 1.9 * (N / 2 + 1), single ones by N + 1: equal for N = 18.
    def cost(length: int, items: int) -> float:
        return 1.0 if items == 1 else 0.95 * items

    for count, size in ((17, 1), (19, 2)):
        waiting = Waiting(cost, max_items=2)
        waiting.add(100, count=count)
        assert len(waiting.select()[1]) == size


def test_those_who_wait_elsewhere_gain_from_a_batch_too() -> None:
    def cost(length: int, items: int) -> float:
        return 1.0 if items == 1 else 0.95 * items

    waiting = Waiting(cost, max_items=2, same_attention=False)
    waiting.add(100, waited=1, count=9)
    waiting.add(400, count=6)
    # 9 + 2 * 6 = 21 is more than 18.
    length, entries, _ = waiting.select()
    assert (length, len(entries)) == (100, 2)


def test_a_short_document_goes_before_a_long_one_that_has_waited_a_little_longer() -> None:
    waiting = Waiting(on_cpu)
    waiting.add(400, waited=1.0)
    waiting.add(100, waited=0.5)
    # Waiting ended for each second of the device: (1 + 4) / 4 against (0.5 + 1) / 1.
    assert waiting.select()[0] == 100


def test_a_long_document_that_has_waited_long_enough_goes_before_a_short_one() -> None:
    waiting = Waiting(on_cpu)
    waiting.add(400, waited=3.0)
    waiting.add(100, waited=0.5)
    # (3 + 4) / 4 against (0.5 + 1) / 1.
    assert waiting.select()[0] == 400


def test_nothing_goes_ahead_of_an_entry_that_would_be_due_before_it_ends() -> None:
    for due_in, length in ((1.5, 100), (0.5, 400)):
        waiting = Waiting(on_cpu)
        waiting.add(400, waited=0.1, due_in=due_in)
        waiting.add(100, waited=0.5)
        assert waiting.select()[0] == length


def test_within_a_bucket_the_entry_that_is_due_first_goes_first() -> None:
    waiting = Waiting(on_cpu)
    waiting.add(100, waited=9, due_in=5)
    (urgent,) = waiting.add(100, due_in=2)
    assert waiting.select()[1] == [urgent]


def test_a_batch_does_not_grow_until_one_of_its_entries_is_late() -> None:
    # A run takes half a second, and an eighth of one for each document: alone 0.625 s, five of them 1.125 s.
    waiting = Waiting(lambda length, items: 0.5 + items / 8)
    waiting.add(100, due_in=0.5, time_left=1.2)
    waiting.add(100, count=20)
    assert len(waiting.select()[1]) == 5


def test_who_would_be_late_even_alone_holds_nobody_back() -> None:
    waiting = Waiting(on_gpu)
    waiting.add(100, due_in=0.0, time_left=0.3)
    waiting.add(100, count=20)
    assert len(waiting.select()[1]) == 21


def test_a_batch_stays_within_its_caps() -> None:
    waiting = Waiting(on_gpu, max_items=6, max_tokens=1200)
    waiting.add(400, waited=3, count=10)
    assert len(waiting.select()[1]) == 3
    waiting = Waiting(on_gpu, max_items=6, max_tokens=1200)
    waiting.add(100, waited=3, count=10)
    assert len(waiting.select()[1]) == 6


def test_a_document_with_many_positions_keeps_its_batch_small_and_is_passed_over_by_a_large_one() -> None:
    # A position takes 1000 bytes, twice, of 100,000: 50 of them at most, filled up to the longest.
    waiting = Waiting(on_gpu)
    few = waiting.add(100, waited=3, positions=2, count=5)
    waiting.add(100, waited=3, positions=20)
    more = waiting.add(100, waited=3, positions=2, count=15)
    assert waiting.select()[1] == [*few, *more]
    waiting = Waiting(on_gpu)
    many = waiting.add(100, waited=3, positions=20)
    few = waiting.add(100, waited=3, positions=2, count=5)
    assert waiting.select()[1] == [*many, few[0]]


def test_spare_places_go_to_shorter_documents_where_they_cost_less_than_a_run_of_their_own() -> None:
    waiting = Waiting(on_gpu)
    long = waiting.add(400, waited=9, count=2)
    short = waiting.add(100, waited=1, count=3)
    assert waiting.select()[:2] == (400, [*long, *short])


@pytest.mark.parametrize(
    ("cost", "same_attention"),
    [
        pytest.param(on_cpu, True, id="because padding costs more"),
        pytest.param(on_gpu, False, id="because the answer would be another"),
    ],
)
def test_spare_places_stay_empty(cost: Cost, same_attention: bool) -> None:
    waiting = Waiting(cost, same_attention=same_attention)
    (long,) = waiting.add(400, waited=99)
    waiting.add(100, waited=1, count=3)
    assert waiting.select()[:2] == (400, [long])


def test_filling_stops_where_somebody_who_is_due_would_have_to_wait_for_it() -> None:
    # Each place costs a tenth of a second; on their own the short ones cost half of one each.
    waiting = Waiting(lambda length, items: 0.5 * items if length == 100 else 1 + 0.1 * items)
    waiting.add(400, waited=50)
    waiting.add(100, due_in=1.25, count=1)
    other = BucketQueue(ServedBucket("other", 100, FakeSession(), 0))
    other.add(replace(waiting.add(100, due_in=1.15)[0], bucket=other.bucket))
    selection = LeastDelay(waiting.cost_model, waiting.limits).select([*waiting.queues.values(), other], NOW)
    assert selection is not None
    assert len(selection.entries) == 1


def test_a_batch_with_free_places_waits_for_more_only_if_told_so_and_not_beyond_its_due_time() -> None:
    waiting = Waiting(on_gpu, max_items=2)
    waiting.add(100, waited=0.1)
    assert waiting.select()[2] <= NOW
    assert waiting.select(delay_seconds=0.3)[2] == pytest.approx(NOW + 0.2)
    waiting.add(100, waited=0.0)
    assert waiting.select(delay_seconds=0.3)[2] <= NOW
    waiting = Waiting(on_gpu, max_items=2)
    waiting.add(100, waited=0.1, due_in=0.05)
    assert waiting.select(delay_seconds=0.3)[2] == pytest.approx(NOW + 0.05)
