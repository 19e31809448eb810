"""The three repairs of SentencePiece's offsets, one by one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bigbird_inference.tokenization.token_spans import share_split_characters, split_characters, trim_blanks


def array(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_empty_spans_get_the_character_that_closes_after_them() -> None:
    starts, ends = array(0, 0, 0, 1, 2, 2), array(0, 0, 1, 2, 2, 3)
    ends = share_split_characters(starts, ends, np.zeros(6, dtype=bool))
    assert ends.tolist() == [1, 1, 1, 2, 3, 3]


def test_an_empty_span_at_the_end_stays_empty() -> None:
    ends = share_split_characters(array(0, 4), array(4, 4), np.zeros(2, dtype=bool))
    assert ends.tolist() == [4, 4]


def test_a_token_that_ends_inside_a_character_is_extended_over_it() -> None:
    # "oﬃce" as "of", "fi", "ce": SentencePiece says [0, 1), [1, 2), [2, 4)
    ends = share_split_characters(array(0, 1, 2), array(1, 2, 4), np.array([True, False, False]))
    assert ends.tolist() == [2, 2, 4]


def test_boundaries_inside_a_normal_form_are_found() -> None:
    # "oﬃce" -> "▁office"; the ligature is code point 1, its letters are characters 2 to 4 of the normal form
    normal_offsets = array(0, 0, 1, 1, 1, 2, 3, 4)
    assert split_characters(array(3, 2, 2), normal_offsets).tolist() == [True, False, False]
    assert split_characters(array(2, 3, 2), normal_offsets).tolist() == [False, False, False]


def test_lengths_that_do_not_fit_the_normal_form_say_nothing() -> None:
    assert split_characters(array(3, 2), array(0, 0, 1, 1, 1, 2, 3, 4)).tolist() == [False, False]


def test_blanks_are_cut_from_both_sides_and_kept_inside() -> None:
    blank = np.array([character == " " for character in "  a b  "])
    starts, ends = trim_blanks(array(0, 0, 5, 7), array(3, 7, 7, 7), blank)
    assert starts.tolist() == [2, 2, 7, 7]
    assert ends.tolist() == [3, 5, 7, 7]


texts = st.text("ab  ", max_size=12)
marks = st.lists(st.integers(0, 12), max_size=12)


@given(text=texts, starts=marks, ends=marks)
def test_blanks_are_cut_as_from_each_span_by_itself(text: str, starts: list[int], ends: list[int]) -> None:
    spans = [(min(pair), max(pair)) for pair in zip(sorted(starts), sorted(ends), strict=False)]
    spans = [(min(start, len(text)), min(end, len(text))) for start, end in spans]
    expected = []
    for start, end in spans:
        inner = text[start:end]
        left = start + len(inner) - len(inner.lstrip(" "))
        right = end - len(inner) + len(inner.rstrip(" "))
        expected.append((left, right) if inner.strip(" ") else (end, end))
    blank = np.array([character == " " for character in text], dtype=bool)
    begins, stops = trim_blanks(array(*(span[0] for span in spans)), array(*(span[1] for span in spans)), blank)
    assert list(zip(begins.tolist(), stops.tolist(), strict=True)) == expected


@given(ends=st.lists(st.integers(0, 9), min_size=1, max_size=12).map(sorted), data=st.data())
def test_tokens_inside_a_character_are_extended_to_the_next_end(ends: list[int], data: st.DataObject) -> None:
    split = data.draw(st.lists(st.booleans(), min_size=len(ends), max_size=len(ends)))
    empty = data.draw(st.lists(st.booleans(), min_size=len(ends), max_size=len(ends)))
    starts = [end if none else max(end - 1, 0) for end, none in zip(ends, empty, strict=True)]
    expected = []
    for start, end, inside in zip(starts, ends, split, strict=True):
        later = [other for other in ends if other > end]
        expected.append(later[0] if later and (inside or start == end) else end)
    assert share_split_characters(array(*starts), array(*ends), np.array(split)).tolist() == expected
