"""Wilson's bounds by hand, the bootstrap's by what it must do."""

import numpy as np
import pytest

from evaluation.metrics.intervals import McNemar, Resampling, bootstrap, exact_mcnemar, wilson

VALUES = np.random.default_rng(1).normal(size=400)


def mean(documents: np.ndarray) -> float:
    return float(VALUES[documents].mean())


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    [
        # (p + z²/2n ± z√(p(1-p)/n + z²/4n²)) / (1 + z²/n) with z = 1.959964
        pytest.param(50, 100, 0.40383, 0.59617, id="half of a hundred"),
        pytest.param(0, 10, 0.0, 0.27753, id="none of ten"),
        pytest.param(10, 10, 0.72247, 1.0, id="ten of ten"),
    ],
)
def test_a_share_has_wilsons_bounds(successes: int, total: int, low: float, high: float) -> None:
    interval = wilson(successes, total, 0.95)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-5)


def test_the_bootstrap_of_a_mean_is_as_wide_as_theory_says() -> None:
    interval = bootstrap(mean, len(VALUES), Resampling(resamples=2000))
    assert interval is not None
    error = VALUES.std() / np.sqrt(len(VALUES))
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert interval.low < VALUES.mean() < interval.high


def test_the_same_seed_gives_the_same_interval() -> None:
    first, again, other = (bootstrap(mean, 400, Resampling(resamples=100, seed=seed)) for seed in (5, 5, 6))
    assert first == again != other


def test_a_higher_level_gives_a_wider_interval() -> None:
    narrow, wide = (bootstrap(mean, 400, Resampling(level, 500)) for level in (0.8, 0.99))
    assert narrow is not None and wide is not None
    assert wide.low < narrow.low < narrow.high < wide.high


def test_draws_without_a_value_are_left_out() -> None:
    def sometimes(documents: np.ndarray) -> float:
        return float(documents.max()) if 0 in documents else float("nan")

    interval = bootstrap(sometimes, 3, Resampling(resamples=200))
    assert interval is not None
    assert (interval.low, interval.high) == (0.0, 2.0)


@pytest.mark.parametrize(
    ("value", "documents"),
    [
        pytest.param(0.5, 1, id="there is one document"),
        pytest.param(float("nan"), 9, id="no draw has a value"),
        pytest.param(1.0, 9, id="every draw has the same value"),
    ],
)
def test_there_is_no_interval_when(value: float, documents: int) -> None:
    assert bootstrap(lambda drawn: value, documents, Resampling(resamples=100)) is None


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
