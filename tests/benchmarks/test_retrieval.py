"""Ranks, halves and intervals of the retrieval benchmark, by hand."""

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from benchmarks.retrieval import BASELINE, cut_off, halves, interval, reciprocal_ranks, rows_of


@pytest.fixture
def words() -> Tokenizer:
    """A token for each word."""
    tokenizer = Tokenizer(models.WordLevel({"x": 0}, unk_token="x"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def test_halves_are_cut_at_a_space_and_then_off(words: Tokenizer) -> None:
    assert halves("one two three four", words, None) == ("one two", "three four")
    assert halves("one two three four", words, 3) == ("one", "three")


@pytest.mark.parametrize(("most", "kept"), [(None, "a b c"), (9, "a b c"), (5, "a b c"), (4, "a b"), (3, "a")])
def test_a_text_is_cut_off_with_room_for_cls_and_sep(words: Tokenizer, most: int | None, kept: str) -> None:
    assert cut_off("a b c", words, most) == kept


def test_the_rank_is_that_of_the_own_second_half() -> None:
    first = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    second = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    # Likenesses: [1, .8, 0], [0, .6, 1], [.6, .96, .8]
    assert reciprocal_ranks(first, second).tolist() == [1.0, 0.5, 0.5]


def test_differences_are_of_the_same_documents() -> None:
    other = np.array([1.0, 0.5, 1.0, 1.0])
    rows = rows_of({BASELINE: np.array([1.0, 0.5, 0.25, 0.2]), "other": other})
    assert rows[0]["found first"] == interval(np.array([1.0, 0, 0, 0]))
    assert str(rows[1]["mean reciprocal rank"]).startswith("0.875 (")
    assert rows[1]["its difference from windows of 512"] == interval(np.array([0.0, 0, 0.75, 0.8]))


def test_an_interval_of_what_never_varies_is_a_point() -> None:
    assert interval(np.ones(20)) == "1.000 (1.000 to 1.000)"
