"""Tensors of the Open Inference Protocol: texts out of inputs, and answers into outputs.

An answer's fields become tensors by their types, one row for each text: a number or a string `[texts]`, a list
`[texts, longest]`, a list of lists `[texts, longest, longest]`; what a shorter row lacks is 0 or the empty string, and
`<field>.count` tells how long each is. Parts of an entity or an alternative are tensors of their own, `entities.start`.
Whole answers stand in `json`, a string for each text; what they have only if it is asked for stands there alone, if it
has parts.
"""

import dataclasses
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from bigbird_inference.errors import InvalidInput, MalformedRequest
from bigbird_inference.tasks.declaration import LeftOut

BYTES = "BYTES"
JSON_OUTPUT = "json"
_COUNT = "count"
# What a number is in the protocol, in numpy, and where there is none.
_KINDS: dict[type, tuple[str, str]] = {bool: ("BOOL", "?"), int: ("INT64", "<i8"), float: ("FP64", "<f8")}
_LENGTH = struct.Struct("<I")
# What fills a row up, in the binary extension; it is less in JSON.
_FILLING_BYTES = 8
# A number in JSON, with what separates it.
_NUMBER_BYTES = 24


@dataclass(frozen=True, slots=True)
class Column:
    """One tensor of an answer, before there are answers.

    Attributes:
        name: With dots between a field and its parts.
        kind: `str`, `int`, `float` or `bool`.
        axes: How many axes there are beside that of the texts.
        path: The fields that lead to it.
        counts: Whether it tells how many there are, rather than what they are.
    """

    name: str
    kind: type
    axes: int
    path: tuple[str, ...]
    counts: bool = False

    @property
    def datatype(self) -> str:
        """As the protocol calls it."""
        return BYTES if self.kind is str else _KINDS[self.kind][0]


def columns(answer: type[Any]) -> list[Column]:
    """Return the tensors that an answer's dataclass becomes, in the order of its fields."""
    return [*_columns(answer, (), 0), Column(JSON_OUTPUT, str, 0, ())]


def _columns(kind: Any, path: tuple[str, ...], axes: int) -> Iterator[Column]:
    marks = get_type_hints(kind, include_extras=True)
    for name, hint in get_type_hints(kind).items():
        own, depth = _unwrapped(hint), 0
        while get_origin(own) is list:
            own, depth = _unwrapped(get_args(own)[0]), depth + 1
        here = (*path, name)
        if dataclasses.is_dataclass(own):
            if LeftOut() in get_args(marks[name]):
                continue
            if depth:
                yield Column(".".join((*here, _COUNT)), int, axes + depth - 1, here, counts=True)
            yield from _columns(own, here, axes + depth)
        elif own in (str, *_KINDS):
            yield Column(".".join(here), own, axes + depth, here)
        else:  # one of a few words
            yield Column(".".join(here), str, axes + depth, here)


def _unwrapped(hint: Any) -> Any:
    """Return a type without `None`."""
    parts = [part for part in get_args(hint) if part is not type(None)]
    return parts[0] if type(None) in get_args(hint) else hint


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """A tensor with its values.

    Attributes:
        column: What it is.
        shape: Its axes' lengths.
        values: All values, the last axis fastest.
    """

    column: Column
    shape: tuple[int, ...]
    values: list[Any]

    def as_bytes(self) -> bytes:
        """Return the values in the binary extension: little-endian numbers, or strings after their length."""
        if self.column.kind is str:
            texts = [value.encode() for value in self.values]
            return b"".join(part for text in texts for part in (_LENGTH.pack(len(text)), text))
        return np.array(self.values, dtype=_KINDS[self.column.kind][1]).tobytes()


def output_tensor(
    column: Column, answers: Sequence[Any], written: Sequence[bytes], hold: Callable[[int], None]
) -> OutputTensor:
    """Return a tensor of several texts' answers.

    Args:
        column: Which.
        answers: The tasks' answers.
        written: The same as JSON.
        hold: Told the bytes of what fills shorter rows up, before that is made; whatever it raises goes through.
    """
    if column.name == JSON_OUTPUT:
        return OutputTensor(column, (len(written),), [text.decode() for text in written])
    nested = [_reach(answer, column.path) for answer in answers]
    if column.counts:
        nested = [_counts(value, column.axes) for value in nested]
    missing = "" if column.kind is str else column.kind(0)
    if not column.axes:
        return OutputTensor(column, (len(nested),), [missing if value is None else value for value in nested])
    shape = [len(nested), *(max(_lengths(nested, axis), default=0) for axis in range(1, column.axes + 1))]
    hold((math.prod(shape) - sum(map(_values, nested))) * _FILLING_BYTES)
    return OutputTensor(column, tuple(shape), list(_padded(nested, shape, missing)))


def bytes_of(column: Column, answer: Any) -> int:
    """Return how many bytes a text's own values of a tensor have, about, and rather too many."""
    found = _reach(answer, column.path)
    if column.counts or column.kind is not str:
        return _values(found) * _NUMBER_BYTES
    return sum(_NUMBER_BYTES + len(text.encode()) for text in _texts(found))


def _texts(nested: Any) -> Iterator[str]:
    if isinstance(nested, list):
        for part in nested:
            yield from _texts(part)
    elif nested is not None:
        yield str(nested)


def _reach(value: Any, path: tuple[str, ...]) -> Any:
    """Return what a path leads to, in every part of a list that it passes."""
    for place, name in enumerate(path):
        if isinstance(value, list):
            return [_reach(part, path[place:]) for part in value]
        if value is None:
            return None
        value = getattr(value, name)
    return value


def _values(nested: Any) -> int:
    """Return how many values there are, each list's by its length if it holds no lists."""
    if not isinstance(nested, list):
        return 1
    return sum(map(_values, nested)) if nested and isinstance(nested[0], list) else len(nested)


def _counts(value: Any, axes: int) -> Any:
    if axes:
        return [_counts(part, axes - 1) for part in value or []]
    return len(value or [])


def _lengths(nested: Sequence[Any], axis: int) -> Iterator[int]:
    for value in nested:
        if axis == 1:
            yield len(value or [])
        else:
            yield from _lengths(value or [], axis - 1)


def _padded(value: Any, shape: Sequence[int], missing: Any) -> Iterator[Any]:
    parts = value or []
    if len(shape) == 1:
        yield from (missing if part is None else part for part in parts)
    else:
        for part in parts:
            yield from _padded(part, shape[1:], missing)
    yield from [missing] * ((shape[0] - len(parts)) * math.prod(shape[1:]))


def texts_of(name: str, shape: Sequence[int], data: Sequence[str | list[str]]) -> list[str]:
    """Return the texts of an input in JSON, flat or row by row.

    Raises:
        InvalidInput: Their number is not that of the shape.
    """
    texts = [text for row in data for text in (row if isinstance(row, list) else [row])]
    _check_shape(name, shape, len(texts))
    return texts


def texts_of_bytes(name: str, shape: Sequence[int], data: bytes) -> list[str]:
    """Return the texts of an input in the binary extension.

    Raises:
        MalformedRequest: The bytes are not strings after their lengths, or not UTF-8.
        InvalidInput: Their number is not that of the shape.
    """
    texts, place = [], 0
    while place < len(data):
        end = place + _LENGTH.size
        length = _LENGTH.unpack_from(data, place)[0] if end <= len(data) else 0
        if end > len(data) or end + length > len(data):
            raise MalformedRequest(f"The binary data of {name} is cut off at byte {place}.")
        try:
            texts.append(data[end : end + length].decode())
        except UnicodeDecodeError:
            raise MalformedRequest(f"The binary data of {name} is not UTF-8 in string {len(texts)}.") from None
        place = end + length
    _check_shape(name, shape, len(texts))
    return texts


def _check_shape(name: str, shape: Sequence[int], count: int) -> None:
    if math.prod(shape) != count or len(shape) > 2 or (len(shape) == 2 and shape[1] != 1):
        raise InvalidInput(f"inputs: {name} has {count} values and the shape {list(shape)}, but must have [{count}]")
