"""Greedy and nucleus choice, by hand and against transformers' own logits processors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation.logits_process import TemperatureLogitsWarper, TopPLogitsWarper

from bigbird_inference.tasks.generation import draw_nucleus, most_probable

PROBABILITIES = np.array([0.1, 0.4, 0.2, 0.3])
LOGITS = np.log(PROBABILITIES).astype(np.float32)


def draws(top_p: float, temperature: float = 1.0, count: int = 4000) -> np.ndarray:
    generator = np.random.default_rng(0)
    tokens = [draw_nucleus(LOGITS, top_p=top_p, temperature=temperature, generator=generator) for _ in range(count)]
    return np.bincount(tokens, minlength=4) / count


def test_the_most_probable_token_is_the_first_of_equal_ones() -> None:
    assert most_probable(np.array([1.0, 7.0, 7.0], np.float32)) == 1


def test_without_a_cut_tokens_come_as_often_as_they_are_probable() -> None:
    assert draws(top_p=1.0) == pytest.approx(PROBABILITIES, abs=0.03)


@pytest.mark.parametrize(
    ("top_p", "expected"),
    [(0.01, [0, 1, 0, 0]), (0.39, [0, 1, 0, 0]), (0.41, [0, 4 / 7, 0, 3 / 7]), (0.75, [0, 4 / 9, 2 / 9, 3 / 9])],
    ids=["the best token is always in", "the best alone is enough", "one more is needed", "all but the rarest"],
)
def test_only_the_smallest_set_of_that_probability_is_drawn_from(top_p: float, expected: list[float]) -> None:
    found = draws(top_p)
    assert found == pytest.approx(expected, abs=0.03)
    assert (found > 0).tolist() == [share > 0 for share in expected]


def test_a_low_temperature_makes_the_best_token_certain_and_a_high_one_all_alike() -> None:
    assert draws(1.0, temperature=0.01).tolist() == [0, 1, 0, 0]
    assert draws(1.0, temperature=100.0) == pytest.approx([0.25] * 4, abs=0.03)


def test_extreme_logits_do_not_overflow() -> None:
    logits = np.array([-3e38, 3e38, 0.0], np.float32)
    assert draw_nucleus(logits, top_p=1.0, temperature=0.01, generator=np.random.default_rng(0)) == 1


class Fixed:
    """A generator whose next number is known."""

    def __init__(self, number: float) -> None:
        self.number = number

    def random(self) -> float:
        return self.number


@settings(deadline=None)
@given(
    values=st.lists(st.integers(-32, 32).map(lambda quarters: quarters / 4), min_size=2, max_size=20, unique=True),
    top_p=st.floats(0.05, 0.99),
    temperature=st.floats(0.2, 5.0),
)
def test_the_set_that_is_drawn_from_is_that_of_transformers(
    values: list[float], top_p: float, temperature: float
) -> None:
    scores = torch.tensor([values], dtype=torch.float64)
    kept = TopPLogitsWarper(top_p)(None, TemperatureLogitsWarper(temperature)(None, scores))[0]  # type: ignore[arg-type]
    expected = torch.softmax(kept, dim=0).numpy()
    cumulative = np.sort(np.cumsum(np.sort(torch.softmax(scores[0] / temperature, 0).numpy())[::-1]))
    if np.min(np.abs(cumulative - top_p)) < 1e-6:
        return  # which side of the cut a token falls on is a matter of rounding
    logits = np.array(values, np.float32)
    numbers = (np.arange(2000) + 0.5) / 2000
    drawn = [
        draw_nucleus(logits, top_p=top_p, temperature=temperature, generator=Fixed(number))  # type: ignore[arg-type]
        for number in numbers
    ]
    found = np.bincount(drawn, minlength=len(values)) / len(numbers)
    assert found == pytest.approx(expected, abs=2e-3)
