"""Which window a token's logits come from."""

import numpy as np

from bigbird_inference.tasks.token_merging import merge_token_logits
from bigbird_inference.tokenization.encoded import EncodedSequence, Window


def windows(parts: list[tuple[int, int]]) -> tuple[list[Window], list[np.ndarray]]:
    """Windows of `(first, count)` whose logits are their own number."""
    empty = np.zeros(0, dtype=np.int64)
    made = [Window(EncodedSequence(empty, empty), 1, first, count) for first, count in parts]
    return made, [np.full((count + 2, 1), number, dtype=np.float32) for number, (_, count) in enumerate(parts)]


def sources(parts: list[tuple[int, int]], token_count: int) -> list[int]:
    return merge_token_logits(*windows(parts), token_count)[:, 0].astype(int).tolist()


def test_one_window_gives_all_tokens() -> None:
    assert sources([(0, 5)], 5) == [0] * 5


def test_an_overlap_is_shared_in_the_middle_and_the_earlier_window_wins_ties() -> None:
    # Shared tokens 6, 7, 8; from the right edge of window 0 they are 2, 1, 0 away, from the left of window 1 0, 1, 2.
    assert sources([(0, 9), (6, 6)], 12) == [0] * 8 + [1] * 4


def test_the_ends_of_the_text_are_no_cuts() -> None:
    # Token 1 begins window 1 and is 2 from the cut of window 0, token 4 likewise at the end; token 2 is 1 from a cut in
    # windows 0 and 1 alike, token 3 in windows 1 and 2.
    assert sources([(0, 4), (1, 4), (2, 4)], 6) == [0, 0, 0, 1, 2, 2]


def test_a_token_in_the_middle_of_three_windows_takes_the_middle_one() -> None:
    assert sources([(0, 8), (2, 8), (4, 8), (6, 8)], 14) == [0] * 5 + [1] * 2 + [2] * 2 + [3] * 5


def test_special_tokens_are_left_out() -> None:
    (window,), _ = windows([(0, 3)])
    logits = np.arange(5, dtype=np.float32)[:, None]
    assert merge_token_logits([window], [logits], 3)[:, 0].tolist() == [1, 2, 3]
