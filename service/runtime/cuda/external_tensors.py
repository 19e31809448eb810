"""Where a graph's weights lie: the entries of an `.onnx` file that point into the file beside it.

The service runs without the package `onnx`, so the few fields that are needed are read here from the protobuf encoding
(https://protobuf.dev/programming-guides/encoding; field numbers from onnx.proto). The graphs hold no weights, so they
are small.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.errors import BundleError

_MODEL_GRAPH, _GRAPH_INITIALIZER = 7, 5
_DIMENSIONS, _ELEMENT_TYPE, _NAME, _EXTERNAL_DATA, _DATA_LOCATION = 1, 2, 8, 13, 14
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_EXTERNAL = 1


@dataclass(frozen=True, slots=True)
class ExternalTensor:
    """A weight of a graph.

    Attributes:
        name: By which the graph knows it.
        element_type: ONNX element type (TensorProto.DataType).
        shape: Its axes.
        file: Name of the file that holds it, beside the graph.
        offset: Where it begins there, in bytes.
        length: Its size in bytes.
    """

    name: str
    element_type: int
    shape: tuple[int, ...]
    file: str
    offset: int
    length: int


def external_tensors(graph: Path) -> list[ExternalTensor]:
    """Return the weights that a graph keeps in another file.

    Raises:
        BundleError: The file is no graph.
    """
    try:
        return [
            _external_tensor(initializer)
            for number, model_field in _fields(graph.read_bytes())
            if number == _MODEL_GRAPH and isinstance(model_field, bytes)
            for own_number, initializer in _fields(model_field)
            if own_number == _GRAPH_INITIALIZER and isinstance(initializer, bytes) and _is_external(initializer)
        ]
    except (IndexError, KeyError, ValueError) as error:
        raise BundleError(f"{graph}: its weights cannot be found: {error}") from error


def _is_external(tensor: bytes) -> bool:
    return any(number == _DATA_LOCATION and value == _EXTERNAL for number, value in _fields(tensor))


def _external_tensor(tensor: bytes) -> ExternalTensor:
    name, element_type = "", 0
    shape: list[int] = []
    where: dict[str, str] = {}
    for number, value in _fields(tensor):
        if number == _DIMENSIONS:
            shape += [value] if isinstance(value, int) else _packed(value)
        elif number == _ELEMENT_TYPE and isinstance(value, int):
            element_type = value
        elif number == _NAME and isinstance(value, bytes):
            name = value.decode()
        elif number == _EXTERNAL_DATA and isinstance(value, bytes):
            entry = {own: text.decode() for own, text in _fields(value) if isinstance(text, bytes)}
            where[entry[_ENTRY_KEY]] = entry[_ENTRY_VALUE]
    return ExternalTensor(
        name, element_type, tuple(shape), where["location"], int(where.get("offset", 0)), int(where["length"])
    )


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the number and the value of every field of a message."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, position = _varint(message, position)
            yield number, value
            continue
        if kind == 2:
            size, position = _varint(message, position)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind} at byte {position}")
        if position + size > len(message):
            raise ValueError(f"a field at byte {position} ends beyond its message")
        yield number, message[position : position + size]
        position += size


def _packed(values: bytes) -> list[int]:
    found, position = [], 0
    while position < len(values):
        value, position = _varint(values, position)
        found.append(value)
    return found


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, the lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
