"""Facts for people: labels below each other, beside each what there is to say, on lines that a terminal can hold."""

import textwrap
from collections.abc import Iterable, Sequence

INDENT = "  "
_WIDTH = 100
_LABEL_WIDTH = 12
_ADDED_NAMED = 5
_FIXED_SPACE = "\N{NO-BREAK SPACE}"


def fact(label: str, text: str) -> list[str]:
    """Return the lines of a fact."""
    return wrapped(text, f"{INDENT}{label:{_LABEL_WIDTH}}", " " * (len(INDENT) + _LABEL_WIDTH))


def wrapped(text: str, first: str, rest: str) -> list[str]:
    """Return a text in lines, of which one begins with `first` and the others with `rest`."""
    lines = textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
    return [line.replace(_FIXED_SPACE, " ") for line in lines]


def listed(parts: Iterable[str]) -> str:
    """Join parts so that a line may end between them only."""
    return ", ".join(part.replace(" ", _FIXED_SPACE) for part in parts)


def and_added(names: Sequence[str]) -> str:
    """Return what follows the name of a vocabulary: how many tokens were added to it, and the first of them."""
    if not names:
        return ""
    first_names = ", ".join(f"{name!r:.80}" for name in names[:_ADDED_NAMED])
    return f" and {len(names)} added tokens ({first_names}{', ...' if len(names) > _ADDED_NAMED else ''})"
