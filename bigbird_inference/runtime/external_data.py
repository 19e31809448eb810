"""Which files a graph reads beside itself: only the weights, whose hash the manifest has.

onnxruntime opens whatever file of the graph's folder a tensor names, and takes its contents for numbers. Nothing would
compare that file with a hash, and nobody would notice that it changed.

A graph is a protocol buffer (onnx.proto), and the library that knows its messages is not part of the service. But the
wire format says of every field how long it is, so a walk needs only the numbers of the fields that lead to tensors.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from bigbird_inference.errors import BundleError

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_MOST_DEPTH = 50

# The numbers of those fields of a message that hold messages with tensors in them, by the message's name.
_FIELDS: Mapping[str, Mapping[int, str]] = {
    "Model": {7: "Graph", 20: "TrainingInfo", 25: "Function"},
    "TrainingInfo": {1: "Graph", 2: "Graph"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: "StringStringEntry"},
}
_KEY, _VALUE = 1, 2


class _NoGraph(Exception):
    """The bytes are not a protocol buffer of the kind that exporters write."""


def check_external_data(graph: Path, weights: str) -> None:
    """Check that a graph takes tensors from no file but the weights.

    Args:
        graph: The `.onnx` file.
        weights: Name of the weights, beside it.

    Raises:
        BundleError: It names another file, or cannot be read as a graph.
    """
    try:
        content = memoryview(graph.read_bytes())
        locations = set(_locations(content, "Model", 0))
    except OSError as error:
        raise BundleError(f"{graph}: cannot be read: {error.strerror}") from error
    except _NoGraph as problem:
        raise BundleError(f"{graph}: is not an ONNX graph: {problem}; export the checkpoint again") from None
    other = sorted(locations - {weights})
    if other:
        raise BundleError(
            f"{graph}: takes tensors from {other[0]!r:.200}, which the manifest does not list as its weights; export "
            "the checkpoint again"
        )


def _locations(content: memoryview, message: str, depth: int) -> Iterator[str]:
    """Yield the file of every tensor inside a message that says that its numbers lie in one."""
    if depth > _MOST_DEPTH:
        raise _NoGraph("it is nested too deeply")
    inner = _FIELDS[message]
    for number, value in _fields(content):
        if number not in inner:
            continue
        if message != "Tensor":
            yield from _locations(value, inner[number], depth + 1)
            continue
        entry = dict(_fields(value))
        if bytes(entry.get(_KEY, b"")) == b"location":
            yield bytes(entry.get(_VALUE, b"")).decode("utf-8", "replace")


def _fields(content: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the number and the bytes of every field that has a length, and pass over the others."""
    position = 0
    while position < len(content):
        tag, position = _varint(content, position)
        if tag >= 2**32:  # some readers drop the digits above
            raise _NoGraph("it has a field's number of more than 32 bits")
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            _, position = _varint(content, position)
        elif wire_type == _EIGHT_BYTES:
            position += 8
        elif wire_type == _FOUR_BYTES:
            position += 4
        elif wire_type == _LENGTH:
            length, position = _varint(content, position)
            if length > len(content) - position:
                raise _NoGraph("it ends in the midst of a field")
            yield number, content[position : position + length]
            position += length
        else:  # groups, which nobody writes any more
            raise _NoGraph(f"it has a field of the unknown wire type {wire_type}")
    if position > len(content):
        raise _NoGraph("it ends in the midst of a field")


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    """Return the number at a position, seven bits of it in each byte, and the position after it."""
    number = 0
    for shift in range(0, 70, 7):
        if position >= len(content):
            raise _NoGraph("it ends in the midst of a field")
        byte = content[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & (2**64 - 1), position
    raise _NoGraph("it has a number of more than 64 bits")
