"""Spans of large documents: many windows, wide bands, flat probabilities."""

import numpy as np

from bigbird_inference.tasks.span_search import CharacterSpan, WindowProbabilities, best_spans
from bigbird_inference.tokenization.encoded import TokenizedText


def letters(count: int) -> TokenizedText:
    """A text of one-letter tokens."""
    positions = np.arange(count)
    return TokenizedText(positions, positions, positions + 1)


def test_flat_probabilities_over_many_windows_give_the_first_spans() -> None:
    windows = [WindowProbabilities(first, np.ones(4000), np.ones(4000)) for first in range(0, 40_000, 2000)]
    found = best_spans(letters(42_000), windows, max_tokens=4000, top_k=3)
    assert found == [CharacterSpan(0, 1, 1.0, 0), CharacterSpan(0, 2, 1.0, 0), CharacterSpan(0, 3, 1.0, 0)]


def test_all_spans_are_returned_when_there_are_fewer_than_asked() -> None:
    window = WindowProbabilities(0, np.array([0.5, 0.25]), np.array([0.125, 1.0]))
    assert best_spans(letters(2), [window], max_tokens=9, top_k=9) == [
        CharacterSpan(0, 2, 0.5, 0),
        CharacterSpan(1, 2, 0.25, 0),
        CharacterSpan(0, 1, 0.0625, 0),
    ]


def test_the_same_characters_in_two_windows_count_once_with_the_better_score() -> None:
    windows = [
        WindowProbabilities(0, np.array([0.0, 0.5]), np.array([0.0, 0.5])),
        WindowProbabilities(1, np.array([0.75, 0.0]), np.array([0.75, 0.0])),
    ]
    assert best_spans(letters(3), windows, max_tokens=1, top_k=2) == [
        CharacterSpan(1, 2, 0.5625, 1),
        CharacterSpan(0, 1, 0.0, 0),
    ]


def test_no_span_crosses_windows() -> None:
    windows = [
        WindowProbabilities(0, np.array([1.0, 0.0]), np.array([0.25, 0.125])),
        WindowProbabilities(2, np.array([0.0, 0.5]), np.array([1.0, 0.5])),
    ]
    assert best_spans(letters(4), windows, max_tokens=4, top_k=2) == [
        CharacterSpan(0, 1, 0.25, 0),
        CharacterSpan(3, 4, 0.25, 1),
    ]


def test_probabilities_of_zero_still_give_a_span() -> None:
    window = WindowProbabilities(0, np.zeros(3), np.zeros(3))
    assert best_spans(letters(3), [window], max_tokens=2, top_k=1) == [CharacterSpan(0, 1, 0.0, 0)]
