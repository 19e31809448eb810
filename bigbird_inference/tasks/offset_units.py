"""Where an answer stands in its text, counted as the caller's language counts.

Tasks work with code points, as Python does. JavaScript, Java and C# count UTF-16 units, Go and Rust bytes of UTF-8. A
request says which in its field `offsets`; fields of an answer that are positions are marked, and are converted here for
every task.
"""

from dataclasses import dataclass, is_dataclass, replace
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, get_args, get_type_hints

import numpy as np
from pydantic import Field

from bigbird_inference.tokenization.encoded import Int64Array
from bigbird_inference.tokenization.normal_form import code_points

AnswerT = TypeVar("AnswerT")

Unit = Literal["code_points", "utf16", "utf8"]

Offsets = Annotated[
    Unit,
    Field(
        description="What `start` and `end` count: Unicode code points as Python does, UTF-16 units as JavaScript and "
        "Java do, or bytes of UTF-8 as Go and Rust do."
    ),
]


@dataclass(frozen=True, slots=True)
class Position:
    """Marks a field that is a position in the text; tasks fill it with code points."""


Start = Annotated[int, Field(description="Where it begins in the text; `offsets` says what is counted."), Position()]
End = Annotated[int, Field(description="Where it ends, exclusive."), Position()]

# The first code point of each further unit that a character takes.
_WIDER = {"utf16": (0x10000,), "utf8": (0x80, 0x800, 0x10000)}


def count_positions(answer: AnswerT, text: str, unit: Unit) -> AnswerT:
    """Return an answer with its positions in another unit.

    Args:
        answer: What a task declares as its answer, with positions in code points.
        text: What they are positions in; valid Unicode.
        unit: What to count.
    """
    if unit == "code_points" or text.isascii():
        return answer
    converted: AnswerT = _convert(answer, unit_offsets(text, unit))
    return converted


def unit_offsets(text: str, unit: Unit) -> Int64Array:
    """Return where each code point begins, in `unit`, then where the text ends: int64 `[code points + 1]`."""
    characters = code_points(text)
    widths = np.ones(len(characters), dtype=np.int64)
    for first in _WIDER.get(unit, ()):
        widths += characters >= first
    return np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(widths)))


def _convert(value: Any, offsets: Int64Array) -> Any:
    if isinstance(value, list):
        return [_convert(one, offsets) for one in value]
    if value is None:
        return None
    kind: Any = type(value)
    positions, parts = _fields(kind)
    changes = {name: int(offsets[getattr(value, name)]) for name in positions}
    changes |= {name: _convert(getattr(value, name), offsets) for name in parts}
    return replace(value, **changes)


@cache
def _fields(kind: Any) -> tuple[list[str], list[str]]:
    """Return the fields of a dataclass that are positions, and those that hold other dataclasses."""
    hints = get_type_hints(kind, include_extras=True)
    positions = [name for name, hint in hints.items() if Position() in get_args(hint)]
    return positions, [name for name, hint in hints.items() if _holds_dataclass(hint)]


def _holds_dataclass(hint: Any) -> bool:
    return (isinstance(hint, type) and is_dataclass(hint)) or any(_holds_dataclass(part) for part in get_args(hint))
