"""JSON by the letter of RFC 8259: no constants that JSON does not know, and no name twice in one object.

RFC 8259 leaves open which of two fields with the same name counts, so two readers may take either.
"""

import json
from collections.abc import Callable
from typing import Any, NoReturn


class NameTwice(ValueError):
    """An object has a name twice.

    Attributes:
        name: The name.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r:.80} appears twice")
        self.name = name


class NotJson(ValueError):
    """A constant that Python's reader knows and JSON does not.

    Attributes:
        constant: `NaN`, `Infinity` or `-Infinity`.
    """

    def __init__(self, constant: str) -> None:
        super().__init__(f"{constant} is not JSON")
        self.constant = constant


def loads(text: str, parse_float: Callable[[str], Any] | None = None) -> Any:
    """Return the value of a JSON text.

    Args:
        text: The text.
        parse_float: What a number with a point or an exponent becomes; None for a float.

    Raises:
        NameTwice, NotJson: See there.
        json.JSONDecodeError: It is not JSON in another way.
        RecursionError: It is nested too deeply.
        ValueError: An integer has more than 4,300 digits.
    """
    return json.loads(text, parse_float=parse_float, parse_constant=_refuse, object_pairs_hook=_unique)


def _refuse(constant: str) -> NoReturn:
    raise NotJson(constant)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        raise NameTwice(next(name for name in names if names.count(name) > 1))
    return members
