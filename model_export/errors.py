"""Errors of the export stage: each is one clear message for the person who runs `bigbird export`."""

from collections.abc import Sequence

_LISTED = 20
_LONGEST_LISTED = 200


def shortened(name: str) -> str:
    """Return as much of a name as a person reads: that of a tensor may be of any length."""
    return name if len(name) <= _LONGEST_LISTED else f"{name[:_LONGEST_LISTED]}..."


def first_few(names: Sequence[str]) -> list[str]:
    """Return as much of a list as a person reads, and how many more there are: a checkpoint may hold any number."""
    named = [shortened(name) for name in names[:_LISTED]]
    return named if len(names) <= _LISTED else [*named, f"and {len(names) - _LISTED:,} more"]


def printable(text: str) -> str:
    """Escape what a terminal would not print, for a text may quote a hostile checkpoint; lines stay lines."""
    kept = (character.isprintable() or character == "\n" for character in text)
    return "".join(c if keep else ascii(c)[1:-1] for c, keep in zip(text, kept, strict=True))


class ExportError(Exception):
    """An export cannot be done; nothing was left behind. The message names the field, file or bucket.

    Args:
        message: Made `printable`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class ConfigError(ExportError):
    """A configuration that this model cannot be built from; the message begins with the field's name."""


class CheckpointError(ExportError):
    """A checkpoint folder that cannot be read; the message names the file and lists the mismatches of each kind."""


class MisfitError(CheckpointError):
    """Weights that do not fit the model.

    Args:
        message: What does not fit.
        tensors: Names of the tensors that the model needs and that are missing or otherwise than they must be.
    """

    def __init__(self, message: str, tensors: frozenset[str]) -> None:
        super().__init__(message)
        self.tensors = tensors
