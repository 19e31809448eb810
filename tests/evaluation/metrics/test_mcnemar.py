"""Exact p-values by hand: tails of the binomial distribution with one half."""

import pytest

from evaluation.metrics.intervals import McNemar, exact_mcnemar


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    [
        pytest.param(0, 0, 1.0, id="the models never differ"),
        pytest.param(3, 3, 1.0, id="they differ evenly"),
        pytest.param(0, 5, 2 / 32, id="all five go to the second"),
        pytest.param(1, 7, 2 * 9 / 256, id="seven of eight go to the second"),
        pytest.param(7, 1, 2 * 9 / 256, id="seven of eight go to the first"),
    ],
)
def test_the_p_value_is_that_of_a_fair_coin(only_first: int, only_second: int, p_value: float) -> None:
    first = [True] * only_first + [False] * only_second + [True, False]
    second = [False] * only_first + [True] * only_second + [True, False]
    result = exact_mcnemar(first, second)
    assert (result.only_first, result.only_second) == (only_first, only_second)
    assert result.p_value == pytest.approx(p_value)


def test_different_numbers_of_items_are_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        exact_mcnemar([True], [True, False])


def test_the_result_is_a_value() -> None:
    assert exact_mcnemar([True], [True]) == McNemar(0, 0, 1.0)
