"""Compared with SciPy's own correlations."""

import math

import numpy as np
import pytest
from scipy import stats

from evaluation.metrics.classification import mean_absolute_error, pearson, spearman


@pytest.mark.parametrize("decimals", [pytest.param(6, id="without ties"), pytest.param(0, id="with many ties")])
def test_correlations_equal_scipy(decimals: int) -> None:
    generator = np.random.default_rng(3)
    expected = generator.normal(size=50).round(decimals)
    predicted = (expected + generator.normal(size=50)).round(decimals)
    assert pearson(expected, predicted) == pytest.approx(stats.pearsonr(expected, predicted).statistic)
    assert spearman(expected, predicted) == pytest.approx(stats.spearmanr(expected, predicted).statistic)


def test_a_monotone_relation_is_perfect_by_rank_only() -> None:
    expected = np.array([1.0, 2.0, 3.0, 4.0])
    assert spearman(expected, expected**5) == pytest.approx(1.0)
    assert pearson(expected, expected**5) < 0.95


@pytest.mark.parametrize(
    ("expected", "predicted"),
    [
        pytest.param([1.0, 2.0], [3.0, 3.0], id="the predictions are all the same"),
        pytest.param([1.0], [2.0], id="there is one text"),
        pytest.param([], [], id="there is no text"),
    ],
)
def test_a_correlation_is_undefined_when(expected: list[float], predicted: list[float]) -> None:
    assert math.isnan(pearson(np.array(expected), np.array(predicted)))
    assert math.isnan(spearman(np.array(expected), np.array(predicted)))


def test_the_mean_error_is_in_the_numbers_own_unit() -> None:
    assert mean_absolute_error(np.array([1.0, 5.0]), np.array([2.0, 2.0])) == 2.0
