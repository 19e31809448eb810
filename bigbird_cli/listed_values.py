"""Values of options that are several things with commas between them."""

from typing import Generic, TypeVar

import click

Item = TypeVar("Item")


class ListedValues(click.ParamType[tuple[Item, ...]], Generic[Item]):
    """Comma-separated values; a default may be what they are read as."""

    def convert(
        self, value: str | tuple[Item, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Item, ...]:
        """Read the values, unless that was done."""
        return value if isinstance(value, tuple) else self.read(value, param, ctx)

    def read(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Item, ...]:
        """Return the values in a text."""
        raise NotImplementedError


class TokenNumbers(ListedValues[int]):
    """Numbers of tokens.

    Args:
        example: What the message about a wrong value shows.
        rising: Whether they have to rise, from 1 up.
    """

    name = "tokens"

    def __init__(self, example: str, *, rising: bool = False) -> None:
        self._example = example
        self._rising = rising

    def read(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Read the numbers."""
        try:
            numbers = tuple(int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers like {self._example}", param, ctx)
        if self._rising and (numbers[0] < 1 or list(numbers) != sorted(set(numbers))):
            self.fail(f"{value!r} does not rise from 1 up", param, ctx)
        return numbers


class Names(ListedValues[str]):
    """Names."""

    name = "names"

    def read(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Read the names; each counts once."""
        # Spaces alone: a piece may be a line feed.
        return tuple(dict.fromkeys(name for part in value.split(",") if (name := part.strip(" "))))
