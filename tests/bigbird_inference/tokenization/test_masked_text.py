"""Masks are tokens, everything between them is data, and positions stay those of the whole text."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigbird_inference.errors import InvalidInput
from bigbird_inference.tokenization.masked_text import tokenize_masked
from bigbird_inference.tokenization.tokenizer import Tokenizer
from tests.bigbird_inference.tokenization.documents import documents

MASK_ID = 3


# How transformers 4.57.6 (`BigBirdTokenizer`, the one that uses sentencepiece) cuts these texts; None is a mask.
@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Alice [MASK] the project", ["Alice", None, " the project"]),
        ("Alice[MASK]the", ["Alice", None, "the"]),
        ("Alice \t\u00a0[MASK]\u00a0 the", ["Alice", None, "\u00a0 the"]),
        ("[MASK] [MASK]  [MASK].", [None, None, None, "."]),
        ("  [MASK]  ", [None]),
        ("[MASK]", [None]),
        ("the [MASK", ["the [MASK"]),
        ("[[MASK]]", ["[", None, "]"]),
        ("[mask] [MASK ]", ["[mask] [MASK ]"]),
    ],
    ids=[
        "a mask between words",
        "no space around a mask",
        "white space before a mask belongs to it",
        "masks one after another",
        "nothing but a mask and spaces",
        "nothing but a mask",
        "half a mask is characters",
        "a mask in brackets",
        "other spellings are characters",
    ],
)
def test_what_stands_between_masks_is_tokenised_alone(tokenizer: Tokenizer, text: str, parts: list[str | None]) -> None:
    processor = tokenizer.vocabulary.processor
    encoded = [[MASK_ID] if part is None else processor.encode(part, return_type=int) for part in parts]
    found = tokenize_masked(tokenizer, text, "[MASK]", MASK_ID)
    assert found.ids.tolist() == list(itertools.chain.from_iterable(encoded))


def test_other_special_pieces_beside_a_mask_are_characters(any_tokenizer: Tokenizer) -> None:
    tokens = tokenize_masked(any_tokenizer, "[CLS] a [SEP][MASK]<pad>", "[MASK]", any_tokenizer.mask_id or 0)
    assert tokens.ids.tolist().count(any_tokenizer.mask_id) == 1
    assert not {any_tokenizer.cls_id, any_tokenizer.sep_id} & set(tokens.ids.tolist())


def test_the_models_mask_is_characters_where_another_string_is_the_mask(any_tokenizer: Tokenizer) -> None:
    tokens = tokenize_masked(any_tokenizer, "a [MASK] and ___ here", "___", any_tokenizer.mask_id or 0)
    masks = [
        (start, end)
        for token_id, start, end in zip(tokens.ids, tokens.starts, tokens.ends, strict=True)
        if token_id == any_tokenizer.mask_id
    ]
    assert masks == [(13, 16)]


def test_masks_are_found_from_the_left_and_do_not_overlap(tokenizer: Tokenizer) -> None:
    tokens = tokenize_masked(tokenizer, "aaaaa", "aa", MASK_ID)
    assert list(zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True))[:2] == [(0, 2), (2, 4)]
    assert tokens.ids.tolist().count(MASK_ID) == 2


def test_a_text_without_a_mask_is_tokenised_as_ever(any_tokenizer: Tokenizer) -> None:
    text = "Zürich, naïve café  ½ 北京 😀"
    plain, found = any_tokenizer.tokenize(text), tokenize_masked(any_tokenizer, text, "[MASK]", MASK_ID)
    assert found.ids.tolist() == plain.ids.tolist()
    assert found.starts.tolist() == plain.starts.tolist()
    assert found.ends.tolist() == plain.ends.tolist()


def test_a_lone_surrogate_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(InvalidInput, match="not valid Unicode"):
        tokenize_masked(tokenizer, "[MASK] \ud800", "[MASK]", MASK_ID)


@given(parts=st.lists(documents, min_size=1, max_size=5), mask=st.sampled_from(["[MASK]", "___", "😀?", "é"]))
def test_positions_of_any_masked_document_mean_its_characters(
    any_tokenizer: Tokenizer, parts: list[str], mask: str
) -> None:
    text = mask.join(parts)
    mask_id = any_tokenizer.mask_id or 0
    tokens = tokenize_masked(any_tokenizer, text, mask, mask_id)
    spans = list(zip(tokens.ids.tolist(), tokens.starts.tolist(), tokens.ends.tolist(), strict=True))
    assert [text[start:end] for token_id, start, end in spans if token_id == mask_id] == [mask] * text.count(mask)
    for (_, start, end), (_, later_start, later_end) in itertools.pairwise(spans):
        assert start <= later_start and end <= later_end
    for token_id, start, end in spans:
        assert 0 <= start <= end <= len(text)
        if token_id != mask_id:
            assert text[start:end] == text[start:end].strip()
            assert mask not in text[start:end]
    assert not {any_tokenizer.cls_id, any_tokenizer.sep_id} & set(tokens.ids.tolist())
