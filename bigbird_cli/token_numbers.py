"""An option's value that is numbers of tokens with commas between them, as the commands take it."""

import click


class TokenNumbers(click.ParamType[tuple[int, ...]]):
    """Comma-separated numbers of tokens.

    Args:
        example: What the message about a wrong value shows.
        rising: Whether they have to rise, from 1 up.
    """

    name = "tokens"

    def __init__(self, example: str, *, rising: bool = False) -> None:
        self._example = example
        self._rising = rising

    def convert(
        self, value: str | tuple[int, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Read the numbers."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers like {self._example}", param, ctx)
        if self._rising and (numbers[0] < 1 or list(numbers) != sorted(set(numbers))):
            self.fail(f"{value!r} does not rise from 1 up", param, ctx)
        return numbers
