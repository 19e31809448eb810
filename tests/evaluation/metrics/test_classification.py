"""Compared with scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn_metrics

from evaluation.metrics.classification import (
    LabelCounts,
    accuracy,
    confusion_matrix,
    f1_by_label,
    label_numbers,
    macro_f1,
    matthews,
    mean_absolute_error,
    micro_f1,
    pearson,
    spearman,
)

LABELS = 4
pairs = st.lists(st.tuples(st.integers(0, LABELS - 1), st.integers(0, LABELS - 1)), min_size=1, max_size=40)
sets = st.lists(st.tuples(*[st.lists(st.booleans(), min_size=LABELS, max_size=LABELS)] * 2), min_size=1, max_size=20)


@pytest.mark.filterwarnings("ignore:A single label was found:UserWarning")
@settings(deadline=None, derandomize=True)
@given(pairs)
def test_figures_of_one_label_equal_scikit_learn(rows: list[tuple[int, int]]) -> None:
    expected, predicted = np.array(rows, dtype=np.int64).T
    confusion = confusion_matrix(expected, predicted, LABELS)
    assert accuracy(confusion) == pytest.approx(sklearn_metrics.accuracy_score(expected, predicted))
    assert matthews(confusion) == pytest.approx(sklearn_metrics.matthews_corrcoef(expected, predicted))
    counts = LabelCounts.of_confusion(confusion)
    assert macro_f1(counts) == pytest.approx(sklearn_metrics.f1_score(expected, predicted, average="macro"))
    assert micro_f1(counts) == pytest.approx(sklearn_metrics.f1_score(expected, predicted, average="micro"))


@settings(deadline=None, derandomize=True)
@given(sets)
def test_figures_of_sets_of_labels_equal_scikit_learn(rows: list[tuple[list[bool], list[bool]]]) -> None:
    expected, predicted = (np.array(side, dtype=np.bool_) for side in zip(*rows, strict=True))
    counts = LabelCounts.of_sets(expected, predicted)
    own = np.nan_to_num(f1_by_label(counts))
    assert own == pytest.approx(sklearn_metrics.f1_score(expected, predicted, average=None, zero_division=0.0))
    if expected.any() or predicted.any():
        assert micro_f1(counts) == pytest.approx(sklearn_metrics.f1_score(expected, predicted, average="micro"))


def test_a_text_without_answer_is_wrong_and_lowers_the_recall_of_its_label() -> None:
    labels = ["no", "yes"]
    expected = label_numbers(labels, ["yes", "yes", "no"])
    confusion = confusion_matrix(expected, label_numbers(labels, ["yes", None, "no"]), len(labels))
    assert accuracy(confusion) == pytest.approx(2 / 3)
    assert f1_by_label(LabelCounts.of_confusion(confusion)).tolist() == pytest.approx([1, 2 / 3])


def test_a_label_that_is_nowhere_has_no_f1_and_does_not_lower_the_mean() -> None:
    zeros = np.zeros(3, dtype=np.int64)
    counts = LabelCounts.of_confusion(confusion_matrix(zeros, zeros, 2))
    assert np.isnan(f1_by_label(counts)[1])
    assert macro_f1(counts) == 1.0


def test_matthews_is_0_when_one_label_is_given_throughout() -> None:
    expected = np.array([0, 1, 1], dtype=np.int64)
    assert matthews(confusion_matrix(expected, np.ones(3, dtype=np.int64), 2)) == 0.0


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
