"""Values of a JSON file from somebody else, each checked for its type where it is read."""

from collections.abc import Mapping
from typing import Any


class Unusable(Exception):
    """A field that is wrong or cannot be expressed; the message begins with its name. The reader adds the file's."""


def mapping(value: object, name: str) -> Mapping[str, Any]:
    """Return a JSON object."""
    if not isinstance(value, dict):
        raise Unusable(f"{name}: is {_quoted(value)}, not an object")
    return value


def items(value: object, name: str) -> list[Any]:
    """Return a JSON array."""
    if not isinstance(value, list):
        raise Unusable(f"{name}: is {_quoted(value)}, not a list")
    return value


def string(value: object, name: str) -> str:
    """Return a string that can be written as UTF-8."""
    if not isinstance(value, str):
        raise Unusable(f"{name}: is {_quoted(value)}, not a string")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise Unusable(f"{name}: {_quoted(value)} is not valid Unicode")
    return value


def flag(value: object, name: str) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise Unusable(f"{name}: is {_quoted(value)}, not true or false")
    return value


def integer(value: object, name: str, *, below: int) -> int:
    """Return a whole number from 0 up to, but not including, `below`."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < below:
        raise Unusable(f"{name}: is {_quoted(value)}, not a whole number from 0 to {below - 1}")
    return value


def _quoted(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and abs(value) > 10**18:
        return "a huge number"
    printable = ascii(value) if isinstance(value, str) else repr(value)
    return printable if len(printable) <= 40 else f"{printable[:40]}..."
