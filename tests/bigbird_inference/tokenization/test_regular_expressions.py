"""Expressions that some text makes slow are told from those of tokenizers in use."""

import pytest
from tokenizers import pre_tokenizers

from bigbird_inference.tokenization.regular_expressions import is_harmless


@pytest.mark.parametrize(
    "expression",
    [
        " {2,}",
        r"\s+",
        r"\d{1,3}",
        r"[^\s]+|\s+",
        ".{6}",
        r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+",
        r"(\s)",
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    ],
)
def test_expressions_in_use_are_let_through_and_compile(expression: str) -> None:
    assert is_harmless(expression)
    from tokenizers import Regex

    pre_tokenizers.Split(Regex(expression), "isolated").pre_tokenize_str("Any text, 12  of it")


@pytest.mark.parametrize(
    "expression",
    [
        "(a+)+$",
        "(a|a)*b",
        "(?:a|ab)+",
        r"\s+x",
        r"\s+$",
        "a*",
        "a?a?a?b",
        r"(\w+)\1",
        r".{1000}",
        "(?<=a+)b",
        "[a&&b]+",
        "a{2}{3}",
        "a++",
        "(a",
        "",
        "a" * 300,
    ],
)
def test_other_expressions_are_not(expression: str) -> None:
    assert not is_harmless(expression)
