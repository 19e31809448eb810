"""Token ids are never special ones, and spans are what the text says."""

import random
import threading
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigbird_inference.errors import InvalidInput
from bigbird_inference.tokenization.tokenizer import Tokenizer
from tests.bigbird_inference.tokenization.documents import documents

ANY_DOCUMENT = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def spans(tokenizer: Tokenizer, text: str) -> list[tuple[int, int]]:
    tokens = tokenizer.tokenize(text)
    return list(zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True))


def pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    return [tokenizer.vocabulary.processor.id_to_piece(int(token)) for token in tokenizer.tokenize(text).ids]


@ANY_DOCUMENT
@given(text=documents)
def test_spans_lie_in_the_text_and_never_go_back(any_tokenizer: Tokenizer, text: str) -> None:
    tokens = any_tokenizer.tokenize(text)
    assert len(tokens.ids) == len(tokens.starts) == len(tokens.ends)
    assert np.all(tokens.starts >= 0)
    assert np.all(tokens.starts <= tokens.ends)
    assert np.all(tokens.ends <= len(text))
    assert np.all(np.diff(tokens.starts) >= 0)
    assert np.all(np.diff(tokens.ends) >= 0)


@ANY_DOCUMENT
@given(text=documents)
def test_no_span_begins_or_ends_with_whitespace(any_tokenizer: Tokenizer, text: str) -> None:
    for start, end in spans(any_tokenizer, text):
        assert text[start:end] == text[start:end].strip()


# SentencePiece's own sign for a space, the Hangul filler and the replacement character: normalised away or to a space.
BLANK_LETTERS = {"\u2581", "\u3164", "\ufffd"}


@ANY_DOCUMENT
@given(text=documents)
def test_every_visible_character_is_in_a_span(any_tokenizer: Tokenizer, text: str) -> None:
    covered = np.zeros(len(text) + 1, dtype=bool)
    for start, end in spans(any_tokenizer, text):
        covered[start:end] = True
    left_out = {character for position, character in enumerate(text) if not covered[position]}
    assert not {
        character
        for character in left_out
        if unicodedata.category(character) not in {"Cc", "Cf", "Zs", "Zl", "Zp"} and character not in BLANK_LETTERS
    }


@ANY_DOCUMENT
@given(text=documents)
def test_a_span_holds_all_characters_that_its_piece_was_made_of(any_tokenizer: Tokenizer, text: str) -> None:
    processor = any_tokenizer.vocabulary.processor
    tokens = any_tokenizer.tokenize(text)
    for token, start, end in zip(tokens.ids.tolist(), tokens.starts.tolist(), tokens.ends.tolist(), strict=True):
        if start == end:
            continue  # a blank, whether or not the normaliser keeps it
        own = processor.normalize(text[start:end]).replace("▁", "").replace(" ", "")
        if processor.is_byte(token):
            assert bytes([int(processor.id_to_piece(token)[3:5], 16)]) in own.encode()
        elif not processor.is_unknown(token):
            assert processor.id_to_piece(token).strip("▁").replace("▁", "") in own


@ANY_DOCUMENT
@given(text=documents)
def test_no_text_becomes_a_special_id(any_tokenizer: Tokenizer, text: str) -> None:
    special = {any_tokenizer.cls_id, any_tokenizer.sep_id, any_tokenizer.pad_id, any_tokenizer.mask_id}
    assert special.isdisjoint(any_tokenizer.tokenize(text).ids.tolist())


@ANY_DOCUMENT
@given(text=documents)
def test_ids_are_those_of_sentencepiece(any_tokenizer: Tokenizer, text: str) -> None:
    assert any_tokenizer.tokenize(text).ids.tolist() == any_tokenizer.vocabulary.processor.encode(text)


@pytest.mark.parametrize("repeats", [1, 100], ids=["once", "a hundred times"])
def test_special_pieces_in_a_text_are_characters(any_tokenizer: Tokenizer, repeats: int) -> None:
    text = "[CLS] a [SEP] b [MASK] <pad> <s> <t>[SEP]" * repeats
    special = {any_tokenizer.cls_id, any_tokenizer.sep_id, any_tokenizer.pad_id, any_tokenizer.mask_id}
    tokens = any_tokenizer.tokenize(text)
    assert special.isdisjoint(tokens.ids.tolist())
    assert len(tokens) >= 20 * repeats


@ANY_DOCUMENT
@given(text=documents)
def test_without_positions_the_ids_are_the_same(any_tokenizer: Tokenizer, text: str) -> None:
    tokens = any_tokenizer.tokenize(text)
    plain = any_tokenizer.tokenize_without_positions(text)
    assert plain.ids.tolist() == tokens.ids.tolist()
    assert len(plain.starts) == len(plain.ends) == 0
    if any_tokenizer.shows_text(plain):
        assert np.any(tokens.ends > tokens.starts)


@pytest.mark.parametrize(
    ("text", "visible"), [("of", True), ("", False), ("  ", False), ("\u3164", False), ("\U0001f642", False)]
)
def test_letters_and_digits_surely_show_something(tokenizer: Tokenizer, text: str, visible: bool) -> None:
    assert tokenizer.shows_text(tokenizer.tokenize_without_positions(text)) == visible


def test_words_after_runs_of_spaces_do_not_own_the_spaces(tokenizer: Tokenizer) -> None:
    text = "  the   project "
    starts = {start for start, end in spans(tokenizer, text) if end > start}
    assert min(starts) == 2
    assert 8 in starts
    assert max(end for _, end in spans(tokenizer, text)) == 15
    assert not {0, 1, 5, 6, 7} & starts


def test_byte_pieces_of_one_character_share_its_span(tokenizer: Tokenizer) -> None:
    text = "a 😀b"
    assert pieces(tokenizer, text)[-5:-1] == ["<0xF0>", "<0x9F>", "<0x98>", "<0x80>"]
    assert spans(tokenizer, text)[-5:] == [(2, 3)] * 4 + [(3, 4)]


def test_a_decomposed_character_is_one_span_of_two_code_points(tokenizer: Tokenizer) -> None:
    found = spans(tokenizer, "cafe\u0301 is")
    assert any(start <= 3 and end == 5 for start, end in found)
    assert all(start != 4 and end != 4 for start, end in found)


def test_a_piece_that_ends_inside_a_ligature_holds_all_of_it(tokenizer: Tokenizer) -> None:
    text = "oﬃce"  # normalised: "office"
    for (start, end), piece in zip(spans(tokenizer, text), pieces(tokenizer, text), strict=True):
        letters = piece.strip("▁")
        if letters:
            assert set(letters) <= set(text[start:end].replace("ﬃ", "ffi"))
    assert max(end for _, end in spans(tokenizer, text)) == 4


def test_full_width_letters_keep_their_own_positions(tokenizer: Tokenizer) -> None:
    text = "Ａｌｉｃｅ　Smith"
    found = spans(tokenizer, text)
    assert min(start for start, _ in found) == 0
    assert any(end == 5 for _, end in found)
    assert any(start == 6 for start, _ in found)


def test_a_lone_space_piece_has_an_empty_span(tokenizer: Tokenizer) -> None:
    text = "a  😀"
    tokens = tokenizer.tokenize(text)
    space = pieces(tokenizer, text).index("▁", 1)
    assert tokens.starts[space] == tokens.ends[space] == 3


@pytest.mark.parametrize("text", ["", " ", " \t\n\u3000"], ids=["no text", "one space", "all kinds of spaces"])
def test_blank_texts_have_no_visible_tokens(any_tokenizer: Tokenizer, text: str) -> None:
    tokens = any_tokenizer.tokenize(text)
    assert np.array_equal(tokens.starts, tokens.ends)
    assert tokens.ids.dtype == tokens.starts.dtype == tokens.ends.dtype == np.int64


@pytest.mark.parametrize(
    "text",
    [" " * 1_000_000, "\x00" * 100_000, "a" * 1_000_000, "😀" * 100_000, "\x01\x02\x1f" * 1000, "[SEP]" * 50_000],
    ids=["a million spaces", "NULs", "a million letters", "emoji", "control characters", "control pieces"],
)
def test_monotonous_giants_are_tokenised(any_tokenizer: Tokenizer, text: str) -> None:
    tokens = any_tokenizer.tokenize(text)
    assert np.all(tokens.ends <= len(text))
    assert np.all(np.diff(tokens.ends) >= 0)


@pytest.mark.parametrize(
    ("text", "position"),
    [("\ud83d", 0), ("abc\udc00", 3), ("\udc00\ud800 x", 0)],
    ids=["a high half alone", "a low half at the end", "two halves in the wrong order"],
)
def test_lone_surrogates_are_refused_with_their_position(tokenizer: Tokenizer, text: str, position: int) -> None:
    with pytest.raises(InvalidInput, match=rf"not valid Unicode.* position {position}$"):
        tokenizer.tokenize(text)


@given(first=st.lists(st.integers(5, 99), max_size=6), second=st.lists(st.integers(5, 99), max_size=6))
def test_a_pair_is_separated_and_typed(first: list[int], second: list[int]) -> None:
    tokenizer = Tokenizer(Path("never read"), cls_id=1, sep_id=2, pad_id=0)
    encoded = tokenizer.pair(np.array(first, dtype=np.int64), np.array(second, dtype=np.int64))
    assert encoded.input_ids.tolist() == [1, *first, 2, *second, 2]
    assert encoded.token_type_ids.tolist() == [0] * (len(first) + 2) + [1] * (len(second) + 1)
    untyped = tokenizer.pair(np.array(first, dtype=np.int64), np.array(second, dtype=np.int64), segments=False)
    assert untyped.input_ids.tolist() == encoded.input_ids.tolist()
    assert untyped.token_type_ids.tolist() == [0] * len(encoded)


def test_a_single_text_is_enclosed_and_untyped() -> None:
    encoded = Tokenizer(Path("never read"), cls_id=1, sep_id=2, pad_id=0).single(np.array([7, 8]))
    assert encoded.input_ids.tolist() == [1, 7, 8, 2]
    assert encoded.token_type_ids.tolist() == [0, 0, 0, 0]
    assert encoded.input_ids.dtype == encoded.token_type_ids.dtype == np.int64


def test_threads_get_the_same_tokens(tokenizer: Tokenizer) -> None:
    texts = ["".join(random.Random(seed).choices("Alice ½ﬁ😀 \t", k=500)) for seed in range(8)]
    expected = [spans(tokenizer, text) for text in texts]
    found: dict[int, list[tuple[int, int]]] = {}

    def work(number: int) -> None:
        for _ in range(5):
            found[number] = spans(tokenizer, texts[number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(len(texts))] == expected
