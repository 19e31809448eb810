"""Options that bound what reading a document may take."""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from documents.limits import Limits

Command = TypeVar("Command", bound=Callable[..., Any])


class _SecondsOption(click.FloatRange):
    """Seconds that a timer can take: eleven days at most."""

    def __init__(self) -> None:
        super().__init__(min=0, max=1_000_000, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it; not a number passes every check of a range."""
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return seconds


_DEFAULT = Limits()
_OPTIONS = {
    "max_pages": ("pages", click.IntRange(min=1), "Most pages of a document."),
    "max_file_megabytes": ("megabytes", click.IntRange(min=1), "Largest file of a document."),
    "max_seconds_a_file": ("seconds", _SecondsOption(), "Longest time to read a document."),
}


def document_limit_options(command: Command) -> Command:
    """Add the options to a command."""
    for name, (limit, kind, help_line) in reversed(_OPTIONS.items()):
        option = f"--{name.replace('_', '-')}"
        command = click.option(option, type=kind, default=getattr(_DEFAULT, limit), show_default=True, help=help_line)(
            command
        )
    return command


def given_document_limits(given: Mapping[str, Any]) -> Limits:
    """Return the limits that a command was given."""
    return Limits(**{limit: given[name] for name, (limit, _, _) in _OPTIONS.items()})
