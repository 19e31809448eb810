from pathlib import Path

import numpy as np
import pytest

from evaluation.asking import Answer, Refusal
from evaluation.datasets.base import Dataset, Item
from evaluation.figures import Decisions, Figure, Scores, difference, estimate
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


def test_a_decision_is_right_if_it_is_both_expected_and_found_or_neither() -> None:
    decisions = Decisions(frozenset("ab"), frozenset("bc"))
    assert [decisions.right(one) for one in "abcd"] == [False, True, False, True]


class Documents(Dataset):
    """Three documents; the second has two items."""

    description = "documents"

    def __init__(self) -> None:
        super().__init__(Path("x"), [Item({}, document, line) for line, document in enumerate((0, 1, 1, 2))])

    def score(self, outcomes: object) -> Scores:
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
