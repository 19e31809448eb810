import torch

from model_export.demo.question_answering import best_spans


def logits(starts: list[float], ends: list[float]) -> torch.Tensor:
    return torch.tensor([starts, ends]).T[None]


def test_the_best_span_has_the_highest_sum() -> None:
    assert best_spans(logits([0, 5, 0, 1], [0, 0, 4, 1])) == [(1, 2)]


def test_a_span_never_ends_before_it_starts() -> None:
    assert best_spans(logits([0, 0, 9, 0], [9, 0, 0, 1])) == [(2, 3)]


def test_a_span_is_at_most_thirty_tokens_long() -> None:
    starts, ends = [0.0] * 40, [0.0] * 40
    starts[0], ends[30], ends[29] = 9, 9, 5
    assert best_spans(logits(starts, ends)) == [(0, 29)]
