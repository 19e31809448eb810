"""Regular expressions that no text can make slow.

A `tokenizer.json` may cut and rewrite texts with expressions that a backtracking engine runs, outside Python and
without a limit in time. One such as `(a+)+$` takes longer than anybody waits for a text of 40 letters. Two kinds are
let through: those of widely used tokenizers, letter by letter, and a small grammar in which a match is never sought
twice over the same characters: alternatives, each of at most one unlimited repetition, which is its last part.
"""

import re

_LONGEST = 256

# ruff: noqa: E501 - these are single strings
_WELL_KNOWN = frozenset(
    {
        # GPT-2
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        # GPT-4, Llama 3 and Qwen 2
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    }
)

_ESCAPE = r"\\(?:[dDsSwWrnt]|p\{\^?[A-Za-z_]{1,32}\}|P\{[A-Za-z_]{1,32}\}|[^A-Za-z0-9\s])"
_CLASS = rf"\[\^?(?:{_ESCAPE}|[^\\\[\]&])+\]"
_LITERAL = r"[^\\\[\](){}|*+?.^$]"
_ATOM = rf"(?:{_ESCAPE}|{_CLASS}|{_LITERAL}|\.)"
_REPETITION = r"(?:\+|\{[1-9]\d?(?:,(?:[1-9]\d?)?)?\})"
# ` ?\w+`: what may be missing and what is repeated must not be the same, so only a space may be missing.
_ALTERNATIVE = rf"(?: \?)?(?:{_ATOM}){{0,15}}{_ATOM}{_REPETITION}?"
_SIMPLE = re.compile(rf"{_ALTERNATIVE}(?:\|{_ALTERNATIVE}){{0,15}}")
_GROUPED = re.compile(rf"\(({_SIMPLE.pattern})\)")


def is_harmless(expression: str) -> bool:
    """Tell whether an expression is one of those described above."""
    if expression in _WELL_KNOWN:
        return True
    if len(expression) > _LONGEST:
        return False
    return bool(_SIMPLE.fullmatch(expression) or _GROUPED.fullmatch(expression))
