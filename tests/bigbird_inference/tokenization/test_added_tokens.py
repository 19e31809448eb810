"""What is found is held against the `tokenizers` library, which transformers finds added tokens with."""

import random
from typing import Any

import pytest
import tokenizers
from tokenizers.models import WordLevel
from tokenizers.normalizers import Replace

from bigbird_inference.manifest import AddedToken
from bigbird_inference.tokenization import added_tokens
from bigbird_inference.tokenization.added_tokens import AddedTokenFinder

SPACE = "\u2581"


def library_finds(tokens: list[AddedToken], text: str) -> list[tuple[int, int, int]]:
    """Return ids, and from where to where each takes the text, of the tokens that the library finds."""
    library = tokenizers.Tokenizer(WordLevel({"?": 0}, unk_token="?"))
    library.normalizer = Replace(tokenizers.Regex(" {2,}"), SPACE)
    fields = ("single_word", "lstrip", "rstrip", "normalized")
    added = [
        tokenizers.AddedToken(token.content, **{name: getattr(token, name) for name in fields}) for token in tokens
    ]
    library.add_tokens(added)
    numbers = {library.token_to_id(token.content): token.id for token in tokens}
    encoding = library.encode(text)
    return [
        (numbers[index], start, end)
        for index, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        if index in numbers
    ]


def found(tokens: list[AddedToken], text: str) -> list[tuple[int, int, int]]:
    return [(one.token.id, one.before, one.after) for one in AddedTokenFinder(tokens).find(text)]


@pytest.mark.parametrize(
    ("token", "text"),
    [
        ({}, "a kwa, kw  kw"),
        ({"lstrip": True}, "a \t\u00a0kw  kw kw"),
        ({"lstrip": True, "normalized": False}, "a  kw \x1ckw"),
        ({"rstrip": True}, "kw \u3000kw  kw kw"),
        ({"single_word": True}, "kw akw kwa kw1 _kw kw. -kw \u0301kw kw\u200d \u24b6kw kw\u0903"),
        ({"single_word": True, "lstrip": True, "rstrip": True}, " kw kw x kw"),
        ({"content": "new  york"}, f"new  york new york new   york new{SPACE}york"),
        ({"content": "new york"}, "new york new  york"),
        ({"content": "\n"}, "a\n\nb \n c"),
        ({"content": " "}, " a  b c "),
        ({"content": "[.*]"}, "[.*] x"),
    ],
)
def test_one_token_is_found_as_by_the_library(token: dict[str, Any], text: str) -> None:
    tokens = [AddedToken(**{"content": "kw", "id": 7, **token})]
    assert found(tokens, text) == library_finds(tokens, text)


def test_many_tokens_are_found_as_by_the_library() -> None:
    generator = random.Random(20)
    parts = ["a", "b", "ab", "ba", " ", "\n", "\u0301", "-", "é"]
    flags = ("single_word", "lstrip", "rstrip", "normalized")
    for _ in range(150):
        # Of a run of spaces the library names only the last as its place, so none has one, or the symbol for one.
        drawn = ["".join(generator.choices(parts, k=generator.randint(1, 4))) for _ in range(6)]
        contents = sorted({content.strip() or "x" for content in drawn if "  " not in content})
        tokens = [
            AddedToken(content, 100 + place, **{flag: generator.random() < 0.4 for flag in flags})
            for place, content in enumerate(contents)
        ]
        text = "".join(generator.choices([*parts, "  ", "   ", SPACE], k=30))
        assert found(tokens, text) == library_finds(tokens, text), (tokens, text)


def test_the_longest_counts_among_hundreds_of_beginnings_and_deep_ones() -> None:
    contents = [chr(0x4E00 + place) + "x" * (place % 3) for place in range(300)]
    contents += [letter + "a" * count + "b" for count in range(150) for letter in "cd"]
    tokens = [AddedToken(content, place) for place, content in enumerate(contents)]
    texts = ["".join(random.Random(seed).choices(contents, k=60)) for seed in range(20)]
    for text in (*texts, "c" + "a" * 150 + "b", "c" + "a" * 149 + "b"):
        assert found(tokens, text) == library_finds(tokens, text)


@pytest.mark.parametrize("part", [1, 2, 3, 7])
def test_parts_make_no_difference(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = [AddedToken("abab", 1), AddedToken("ab", 2), AddedToken("ba", 3, lstrip=True), AddedToken("  ", 4)]
    texts = ["".join(random.Random(seed).choices("ab ", k=40)) for seed in range(30)]
    whole = [found(tokens, text) for text in texts]
    monkeypatch.setattr(added_tokens, "PART", part)
    assert [found(tokens, text) for text in texts] == whole
