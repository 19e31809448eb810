"""Options that bound what reading a document may take."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from documents.limits import Limits

Command = TypeVar("Command", bound=Callable[..., Any])

_DEFAULT = Limits()
_OPTIONS = {
    "max_pages": ("pages", click.IntRange(min=1), "Most pages of a document."),
    "max_file_megabytes": ("megabytes", click.IntRange(min=1), "Largest file of a document."),
    "max_seconds_a_file": ("seconds", click.FloatRange(min=0, min_open=True), "Longest time to read a document."),
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
