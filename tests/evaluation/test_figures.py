from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from evaluation.asking import Answer, Refusal
from evaluation.datasets.base import Dataset, Item, Judgement
from evaluation.figures import Decisions, Figure, FigureGroup, Scores, difference, estimate, estimate_together
from evaluation.lengths import by_length
from evaluation.metrics.intervals import Resampling, wilson
from tests.evaluation.asked import answer

RESAMPLING = Resampling(resamples=300)
RIGHT = np.array([1, 1, 0, 1, 0, 1])
ALL = np.arange(6)


def share(items: list[int], right: np.ndarray = RIGHT) -> Figure:
    counts = np.array(items, dtype=np.int64)

    def statistic(documents: np.ndarray) -> float:
        return float((right * counts)[documents].sum() / counts[documents].sum())

    return Figure("share", statistic, counts, share=True)


def test_a_share_of_one_item_a_document_gets_wilsons_interval() -> None:
    found = estimate(share([1] * 6), ALL, RESAMPLING)
    assert (found.value, found.items) == (pytest.approx(4 / 6), 6)
    assert found.interval == wilson(4, 6, 0.95)


def test_a_share_of_many_items_a_document_is_bootstrapped_by_document() -> None:
    found = estimate(share([100] * 6), ALL, RESAMPLING)
    assert found.interval is not None
    assert found.interval.method == "bootstrap"
    # Six hundred independent items would give 0.63 to 0.70.
    assert found.interval.high - found.interval.low > 0.5


def test_a_perfect_share_gets_wilsons_interval_of_its_documents() -> None:
    found = estimate(share([100] * 6, np.ones(6)), ALL, RESAMPLING)
    assert (found.value, found.items, found.interval) == (1.0, 600, wilson(6, 6, 0.95))


def test_an_undefined_figure_has_no_interval() -> None:
    found = estimate(Figure("none", lambda documents: float("nan"), np.zeros(6, dtype=np.int64)), ALL, RESAMPLING)
    assert np.isnan(found.value)
    assert found.interval is None


def test_a_difference_is_drawn_in_pairs() -> None:
    # The second is right wherever the first is and on one document more: never worse, whatever is drawn.
    better = np.array([1, 1, 1, 1, 0, 1])
    found = difference(share([1] * 6), share([1] * 6, better), ALL, RESAMPLING)
    assert found.value == pytest.approx(1 / 6)
    assert found.interval is not None
    assert found.interval.low == 0.0
    assert 0.3 < found.interval.high < 0.7


def test_a_difference_of_figures_that_need_items_is_over_documents_that_have_some_for_both() -> None:
    def mean(values: list[float], items: list[int]) -> Figure:
        counts, numbers = np.array(items), np.array(values)

        def statistic(documents: np.ndarray) -> float:
            documents = documents[counts[documents] > 0]
            return float(numbers[documents].mean()) if len(documents) else float("nan")

        return Figure("mean", statistic, counts, needs_items=True)

    # The second has no number of the first document, the first none of the last.
    first, second = mean([100, 1, 2, 3, 4, 0], [1, 1, 1, 1, 1, 0]), mean([0, 2, 4, 6, 8, 100], [0, 1, 1, 1, 1, 1])
    found = difference(first, second, ALL, RESAMPLING)
    assert (found.value, found.items) == (2.5, 4)
    assert found.interval is not None
    assert 1 <= found.interval.low < 2.5 < found.interval.high <= 4
    nothing = difference(first, second, np.array([0, 5]), RESAMPLING)
    assert np.isnan(nothing.value)
    assert (nothing.items, nothing.interval) == (0, None)


def test_a_decision_is_right_if_it_is_both_expected_and_found_or_neither() -> None:
    decisions = Decisions(frozenset("ab"), frozenset("bc"))
    assert [decisions.right(one) for one in "abcd"] == [False, True, False, True]


def test_no_decision_about_a_refused_item_is_right() -> None:
    decisions = Decisions(frozenset({(0, "a"), (1, "b")}), frozenset({(0, "a")}), refused=frozenset({1}))
    judged = {one: decisions.right(one) for one in [(0, "a"), (0, "x"), (1, "b"), (1, "x")]}
    assert judged == {(0, "a"): True, (0, "x"): True, (1, "b"): False, (1, "x"): False}
    assert not Decisions(frozenset({1}), frozenset({1}), refused=frozenset({1})).right(1)


def test_figures_of_a_group_get_what_each_would_get_alone() -> None:
    values = np.random.default_rng(2).normal(size=(40, 3))

    def alone(column: int) -> Figure:
        return Figure("mean", lambda documents: float(values[documents, column].mean()), np.ones(40, dtype=np.int64))

    group = FigureGroup(["x", "y", "z"], lambda weights: weights @ values / 40, np.array([1, 2, 3]))
    resampling = Resampling(resamples=250)  # not a multiple of how many are drawn at once
    for column, found in enumerate(estimate_together(group, 40, resampling)):
        expected = estimate(alone(column), np.arange(40), resampling)
        assert (found.name, found.items) == ("xyz"[column], column + 1)
        assert found.value == pytest.approx(expected.value)
        assert found.interval is not None and expected.interval is not None
        own, other = found.interval, expected.interval
        assert (own.low, own.high, own.method) == (pytest.approx(other.low), pytest.approx(other.high), "bootstrap")


class Documents(Dataset):
    """Three documents; the second has two items."""

    description = "documents"

    def __init__(self) -> None:
        super().__init__(Path("x"), [Item({}, document, line) for line, document in enumerate((0, 1, 1, 2))])

    def score(self, outcomes: object) -> Scores:
        raise NotImplementedError

    def judge(self, outcomes: object) -> Sequence[Judgement]:
        raise NotImplementedError


def test_documents_are_divided_by_the_longest_answer_and_refused_ones_stand_apart() -> None:
    outcomes: list[Answer | Refusal] = [answer(512), answer(513), answer(90), Refusal("no")]
    parts = by_length(Documents(), outcomes, (100, 512, 1024))
    assert [(part.low, part.high, part.refused, part.documents.tolist()) for part in parts] == [
        (101, 512, False, [0]),
        (513, 1024, False, [1]),
        (None, None, True, [2]),
    ]


def test_the_last_range_has_no_end() -> None:
    parts = by_length(Documents(), [answer(10), answer(11), answer(5000), answer(11)], (10,))
    assert [(part.low, part.high, part.documents.tolist()) for part in parts] == [(1, 10, [0]), (11, None, [1, 2])]
