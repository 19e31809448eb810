"""Windows cover the text, share what was asked, and stay in proportion to it."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigbird_inference.errors import InvalidInput
from bigbird_inference.tokenization.windows import Slice, plan_windows, window_capacity


@given(data=st.data(), token_count=st.integers(1, 3000), capacity=st.integers(1, 400))
def test_windows_cover_every_token_and_share_exactly_the_stride(
    data: st.DataObject, token_count: int, capacity: int
) -> None:
    stride = data.draw(st.integers(0, capacity * 7 // 8))
    slices = plan_windows(token_count, capacity, stride)
    assert slices[0].first == 0
    assert slices[-1].first + slices[-1].count == token_count
    for earlier, later in itertools.pairwise(slices):
        assert earlier.count == capacity
        assert earlier.first + earlier.count - later.first == stride
        assert later.count > stride
    assert sum(part.count for part in slices) <= 8 * token_count + capacity


@pytest.mark.parametrize(
    ("token_count", "capacity", "stride", "expected"),
    [
        (10, 10, 3, [(0, 10)]),
        (11, 10, 3, [(0, 10), (7, 4)]),
        (17, 10, 3, [(0, 10), (7, 10)]),
        (18, 10, 3, [(0, 10), (7, 10), (14, 4)]),
        (25, 10, 0, [(0, 10), (10, 10), (20, 5)]),
        (4095, 4094, None, [(0, 4094), (3582, 513)]),
        (12, 10, None, [(0, 10), (5, 7)]),
        (3, 1, None, [(0, 1), (1, 1), (2, 1)]),
    ],
    ids=[
        "a text that just fits is one window",
        "one token more makes a short second window with the shared context",
        "a second window that just fits ends the text",
        "one token more makes a third",
        "without sharing windows only touch",
        "the default shares 512 tokens",
        "the default shares half of a small window",
        "windows of one token share nothing",
    ],
)
def test_planned_windows(token_count: int, capacity: int, stride: int | None, expected: list[tuple[int, int]]) -> None:
    assert plan_windows(token_count, capacity, stride) == [Slice(*part) for part in expected]


@pytest.mark.parametrize(
    "stride", [-1, 9, 10, 100_000], ids=["negative", "all but a token", "a whole window", "much more"]
)
def test_an_impossible_stride_is_refused_by_name_even_for_a_short_text(stride: int) -> None:
    with pytest.raises(InvalidInput, match=f"window_stride is {stride}, but must be from 0 to 8"):
        plan_windows(5, 10, stride)


def test_a_stride_that_leaves_less_than_an_eighth_for_new_tokens_is_refused() -> None:
    assert len(plan_windows(5000, 800, 700)) == 43
    with pytest.raises(InvalidInput, match="window_stride is 701, but must be from 0 to 700"):
        plan_windows(5000, 800, 701)


def test_a_text_that_fits_may_stand_beside_a_long_one() -> None:
    assert window_capacity(64, surrounding=60, token_count=4) == 4


def test_windows_need_an_eighth_of_the_model_beside_the_question() -> None:
    assert window_capacity(64, surrounding=56, token_count=1000, blame="question") == 8
    with pytest.raises(InvalidInput, match=r"question is too long: .* 57 of the model's 64 tokens.* at least 8"):
        window_capacity(64, surrounding=57, token_count=1000, blame="question")


def test_a_question_longer_than_the_model_is_refused() -> None:
    with pytest.raises(InvalidInput, match="question is too long"):
        window_capacity(64, surrounding=70, token_count=1, blame="question")
