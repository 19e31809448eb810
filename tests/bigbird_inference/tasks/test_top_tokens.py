import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigbird_inference.tasks.mask_filling import top_tokens


def test_the_best_tokens_come_first_with_their_share_of_all_probability() -> None:
    logits = np.log(np.array([1.0, 5.0, 2.0, 2.0], dtype=np.float32))
    found = top_tokens(logits, 3, candidates=4)
    assert [token.token_id for token in found] == [1, 2, 3]
    assert [token.score for token in found] == pytest.approx([0.5, 0.2, 0.2], abs=1e-6)


def test_ids_that_cannot_be_returned_keep_their_share() -> None:
    logits = np.log(np.array([1.0, 3.0, 6.0], dtype=np.float32))
    (found,) = top_tokens(logits, 1, candidates=2)
    assert (found.token_id, found.score) == (1, pytest.approx(0.3, abs=1e-6))


def test_no_more_tokens_are_returned_than_there_are() -> None:
    assert [token.token_id for token in top_tokens(np.zeros(3, np.float32), 99, candidates=5)] == [0, 1, 2]


def test_extreme_logits_do_not_overflow() -> None:
    found = top_tokens(np.array([-3e38, 3e38, 0.0], np.float32), 3, candidates=3)
    assert [(token.token_id, token.score) for token in found] == [(1, 1.0), (2, 0.0), (0, 0.0)]


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=40), st.integers(1, 50), st.integers(1, 50))
def test_the_ranking_is_that_of_a_full_stable_sort(values: list[int], count: int, candidates: int) -> None:
    expected = sorted(range(min(candidates, len(values))), key=lambda token_id: (-values[token_id], token_id))[:count]
    found = top_tokens(np.array(values, np.float32), count, candidates)
    assert [token.token_id for token in found] == expected
    total = sum(np.exp(float(value)) for value in values)
    assert [token.score for token in found] == pytest.approx([np.exp(float(values[i])) / total for i in expected])
