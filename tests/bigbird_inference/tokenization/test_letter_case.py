import re

import numpy as np
import pytest

from bigbird_inference.tokenization.letter_case import case_types
from bigbird_inference.tokenization.tokenizer import Tokenizer

# Lower case or no letter, first letter alone, capitals alone, mixed; as they are documented.
LOWER, INITIAL, CAPITALS, MIXED = range(4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Angela saw NATO", [INITIAL, LOWER, CAPITALS]),
        ("McKay has an iPhone", [MIXED, LOWER, LOWER, MIXED]),
        ("I was in the U.S.", [INITIAL, LOWER, LOWER, LOWER, INITIAL, LOWER, INITIAL, LOWER]),
        ("COVID19 3D 42 F16s", [CAPITALS, INITIAL, LOWER, INITIAL]),
        ("\u00c9mile \u01c5ep \u0421\u0421\u0421\u0420 \u6771\u4eac", [INITIAL, INITIAL, CAPITALS, LOWER]),
        ("O'Brien, Jean-Paul", [INITIAL, LOWER, INITIAL, LOWER, INITIAL, LOWER, INITIAL]),
    ],
)
def test_tokens_have_the_case_of_their_word(text: str, expected: list[int]) -> None:
    spans = [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]
    starts, ends = np.array(spans, dtype=np.int64).T
    assert case_types(text, starts, ends).tolist() == expected


def test_every_piece_has_the_type_of_the_whole_word_and_what_has_no_characters_none() -> None:
    # An|ge|la, a mark of its own, a lone space, US
    starts, ends = np.array([0, 2, 4, 7, 8]), np.array([2, 4, 6, 7, 10])
    assert case_types("Angela\u0301 US", starts, ends).tolist() == [1, 1, 1, 0, 2]
    nothing = np.empty(0, dtype=np.int64)
    assert case_types("", nothing, nothing).tolist() == []


def test_a_tokenizer_tells_case_only_if_it_is_declared(tokenizer: Tokenizer) -> None:
    text = "Alice Smith leads ACME"
    assert tokenizer.tokenize(text).types is None
    telling = Tokenizer(tokenizer.model_file, tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id, token_types="case")
    tokens = telling.tokenize(text)
    assert tokens.types is not None
    words = {"Alice": 1, "leads": 0, "ACME": 2}
    begun = dict(zip(tokens.starts.tolist(), tokens.types.tolist(), strict=True))
    assert {word: begun[text.index(word)] for word in words} == words
    assert telling.single(tokens.ids, tokens.types).token_type_ids.tolist() == [0, *tokens.types.tolist(), 0]
