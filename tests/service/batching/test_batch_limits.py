from bigbird_inference.buckets import ServedBucket
from service.batching.batch_limits import BatchLimits
from tests.fake_model import FakeSession


def bucket(length: int = 128, position_bytes: int = 0, max_items: int | None = None) -> ServedBucket:
    return ServedBucket("model", length, FakeSession(), 0, position_bytes=position_bytes, max_items=max_items)


def test_a_batch_is_bounded_by_count_and_by_padded_tokens() -> None:
    limits = BatchLimits(max_items=10, max_tokens=1000)
    assert limits.most_items(bucket(64)) == 10
    assert limits.most_items(bucket(128)) == 7
    assert limits.most_items(bucket(4096)) == 1


def test_a_model_may_allow_fewer() -> None:
    assert BatchLimits(10, 1000).most_items(bucket(64, max_items=1)) == 1


def test_a_batch_is_bounded_by_the_memory_that_warm_up_measured_and_its_extension() -> None:
    limits = BatchLimits(max_items=64, max_tokens=100_000, max_memory_bytes=1000)
    assert limits.most_items(bucket()) == 64
    limits.memory_measured(bucket(), 1, 150)
    assert limits.most_items(bucket()) == 6
    limits.memory_measured(bucket(), 2, 200)
    assert limits.most_items(bucket()) == 18


def test_one_sequence_always_goes() -> None:
    limits = BatchLimits(max_items=64, max_tokens=100, max_memory_bytes=1000)
    limits.memory_measured(bucket(), 1, 5000)
    assert limits.most_items(bucket()) == 1


def test_outputs_at_positions_count_twice_with_the_most_positions_of_the_batch() -> None:
    limits = BatchLimits(max_items=64, max_tokens=100_000, max_memory_bytes=100_000_000)
    # 50,358 tokens of vocabulary: 64 texts of 32 masks each would make 412 MB of logits.
    masks = bucket(position_bytes=4 * 50_358)
    assert limits.most_items(masks, positions=32) == 7
    assert limits.most_items(masks, positions=1) == 64


def test_what_ran_out_of_memory_is_never_tried_again() -> None:
    limits = BatchLimits(max_items=64, max_tokens=100_000)
    limits.out_of_memory(bucket(), 24)
    assert limits.most_items(bucket()) == 12
    limits.out_of_memory(bucket(), 40)
    assert limits.most_items(bucket()) == 12
    limits.out_of_memory(bucket(), 1)
    assert limits.most_items(bucket()) == 1
    assert limits.most_items(bucket(256)) == 64
