import pytest

from bigbird_inference.buckets import smallest_bucket

LENGTHS = [128, 704, 1024]


@pytest.mark.parametrize(
    ("length", "bucket"),
    [
        pytest.param(1, 128, id="the shortest sequence"),
        pytest.param(128, 128, id="exactly a bucket"),
        pytest.param(129, 704, id="one more than a bucket"),
        pytest.param(704, 704, id="the longest sequence with full attention"),
        pytest.param(705, 1024, id="the shortest block-sparse sequence"),
        pytest.param(1024, 1024, id="the longest sequence"),
    ],
)
def test_a_sequence_goes_to_the_smallest_bucket_that_holds_it(length: int, bucket: int) -> None:
    assert smallest_bucket(LENGTHS, length) == bucket


@pytest.mark.parametrize("length", [0, 1025])
def test_a_sequence_that_fits_nowhere_is_an_error(length: int) -> None:
    with pytest.raises(ValueError, match=f"{length} tokens"):
        smallest_bucket(LENGTHS, length)
