from dataclasses import replace
from typing import Any

from bigbird_inference.buckets import ServedBucket
from service.batching.bucket_queue import BucketQueue, Place, QueuedItem, WorkItem
from tests.fake_model import FakeSession, sequence

BUCKET = ServedBucket("model", 8, FakeSession(), 0)


def entry(number: int, due_at: float, tokens: int = 1) -> QueuedItem:
    nobody: Any = None
    return QueuedItem(WorkItem("model", sequence([1] * tokens)), BUCKET, nobody, 0.0, due_at, number)


def test_entries_stand_in_the_order_in_which_they_are_due_then_of_acceptance() -> None:
    queue = BucketQueue(BUCKET)
    entries = [entry(1, 5.0), entry(2, 3.0), entry(3, 5.0), entry(4, 1.0)]
    for one in entries:
        queue.add(one)
    assert [one.number for one in queue] == [4, 2, 1, 3]
    assert queue.due_first.number == 4
    assert [queue.ahead_of(Place(due_at, 0.0, first=True)) for due_at in (0.5, 3.0, 4.0, 5.0)] == [0, 2, 2, 4]


def test_behind_them_stand_those_who_have_had_their_share_in_the_order_of_their_turns() -> None:
    queue = BucketQueue(BUCKET)
    queue.add(entry(1, 5.0))
    queue.add(replace(entry(2, 3.0), first=False))
    for number, start in ((3, 2.0), (4, 1.0)):
        queue.add(replace(entry(number, 0.0), start=start, in_turn=False, first=False))
    assert [one.number for one in queue] == [2, 1, 4, 3]
    assert [queue.ahead_of(Place(9.0, start, first=False)) for start in (0.5, 1.0, 2.0)] == [2, 3, 4]
    # A later part of another request goes after whoever brings little.
    assert [queue.ahead_of(Place(due_at, 0.5, first=True)) for due_at in (4.0, 5.0)] == [0, 1]
    queue.take_turns(1.0)
    assert [one.number for one in queue] == [4, 2, 1, 3]
    assert queue.next_start == 2.0


def test_an_entry_leaves_from_the_middle_with_its_tokens() -> None:
    queue = BucketQueue(BUCKET)
    first, middle, last = entry(1, 1.0, tokens=2), entry(2, 1.0, tokens=3), entry(3, 1.0, tokens=4)
    for one in (first, middle, last):
        queue.add(one)
    queue.remove(middle)
    assert list(queue) == [first, last]
    assert queue.tokens == 6
    assert middle not in queue
    assert last in queue
