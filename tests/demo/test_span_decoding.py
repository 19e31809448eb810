import math

import pytest
import torch

from demo.span_decoding import best_spans, joint_loss


def logits(*windows: tuple[list[float], list[float]]) -> torch.Tensor:
    """Start and end logits, one pair of lists for each window; the first of a list is that of [CLS]."""
    return torch.tensor([list(zip(starts, ends, strict=True)) for starts, ends in windows])


@pytest.mark.parametrize(
    ("starts", "ends", "span"),
    [
        pytest.param([0, 5, 0, 1], [0, 0, 4, 1], (0, 1, 2), id="the highest sum"),
        pytest.param([0, 0, 9, 0], [0, 9, 0, 1], (0, 2, 3), id="the end is never before the start"),
        pytest.param([5, 4, 0, 0], [5, 4, 0, 0], None, id="the null answer is better"),
        pytest.param([4, 4, 0, 0], [4, 4, 0, 0], None, id="the null answer is as good"),
        pytest.param([5, 4, 0, 0], [2, 4, 0, 0], (0, 1, 1), id="start and end of the null answer count together"),
    ],
)
def test_the_best_span(starts: list[float], ends: list[float], span: tuple[int, int, int] | None) -> None:
    assert best_spans(logits((starts, ends))) == [span]


def test_a_span_is_at_most_thirty_tokens_long() -> None:
    starts, ends = [0.0] * 41, [0.0] * 41
    starts[1], ends[31], ends[30] = 9, 9, 5
    assert best_spans(logits((starts, ends))) == [(0, 1, 30)]


def test_all_windows_compete_and_the_lowest_null_answer_counts() -> None:
    sure_of_nothing = ([8.0, 0.0, 1.0], [8.0, 0.0, 1.0])
    sure_of_an_answer = ([-5.0, 3.0, 0.0], [-5.0, 3.0, 0.0])
    assert best_spans(logits(sure_of_nothing, sure_of_an_answer), windows=2) == [(1, 1, 1)]
    assert best_spans(logits(sure_of_nothing, sure_of_nothing), windows=2) == [None]
    assert best_spans(logits(sure_of_nothing, sure_of_an_answer), windows=1) == [None, (0, 1, 1)]


def test_the_loss_of_one_window_is_the_cross_entropy_over_its_tokens() -> None:
    own = logits(([1.0, 2.0, 0.0], [0.0, 1.0, 3.0]))
    starts, ends = [math.exp(1), math.exp(2), 1.0], [1.0, math.exp(1), math.exp(3)]
    answered = -math.log(starts[1] / sum(starts)) - math.log(ends[2] / sum(ends))
    null = -math.log(starts[0] / sum(starts)) - math.log(ends[0] / sum(ends))
    assert joint_loss(own, torch.tensor([[1, 2]]), 1).item() == pytest.approx(answered, rel=1e-5)
    assert joint_loss(own, torch.tensor([[0, 0]]), 1).item() == pytest.approx(null, rel=1e-5)


def test_the_loss_of_two_windows_is_over_the_tokens_of_both_and_the_lower_null_answer() -> None:
    own = logits(([1.0, 2.0], [1.0, 2.0]), ([-1.0, 0.5], [-1.0, 0.5]))
    total = math.exp(2) + math.exp(0.5) + math.exp(-1)
    answered, null = (-2 * math.log(math.exp(logit) / total) for logit in (2, -1))
    assert joint_loss(own, torch.tensor([[1, 1]]), 2).item() == pytest.approx(answered, rel=1e-5)
    assert joint_loss(own, torch.tensor([[0, 0]]), 2).item() == pytest.approx(null, rel=1e-5)
