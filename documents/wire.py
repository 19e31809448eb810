"""What a parser's process and the one that started it say to each other.

A message is a line of JSON, and bytes whose number the line tells (`"bytes"`). Nothing is pickled: what comes out of a
parser may have been made by the file that it parsed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any, BinaryIO

import numpy as np

from documents.document import Box, Document, Mark, Page

NOT_A_MESSAGE = (AttributeError, KeyError, RecursionError, TypeError, ValueError)
"""What reading something else as a message raises."""

_LONGEST_LINE = 64 * 2**20
_LARGEST_BYTES = 4 * 2**30
_BOX_BYTES, _START_BYTES = 4 * 4, 8


def send(stream: BinaryIO, message: Mapping[str, Any], content: bytes = b"") -> None:
    """Write a message."""
    stream.write(json.dumps({**message, "bytes": len(content)}).encode() + b"\n")
    stream.write(content)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """Read a message, or return None if the other side has ended before it was whole, or sent something else."""
    line = stream.readline(_LONGEST_LINE)
    try:
        message = json.loads(line)
        size = message.pop("bytes")
        if not 0 <= size <= _LARGEST_BYTES:
            return None
    except NOT_A_MESSAGE:
        return None
    content = stream.read(size)
    return (message, content) if len(content) == size else None


def mark_messages(marks: Sequence[Mark]) -> list[Any]:
    """Return marks as JSON."""
    return [[mark.note, [astuple(box) for box in mark.boxes]] for mark in marks]


def marks_of(message: Sequence[Any]) -> list[Mark]:
    """Return the marks of a message."""
    return [Mark([Box(*box) for box in boxes], note) for note, boxes in message]


def document_message(document: Document) -> tuple[dict[str, Any], bytes]:
    """Return a document as a message."""
    text = document.text.encode("utf-8", "surrogatepass")
    boxes = b"" if document.boxes is None else document.boxes.astype("<f4").tobytes()
    starts = document.line_starts.astype("<i8").tobytes()
    pages = [astuple(page) for page in document.pages]
    told = {"pages": pages, "text": len(text), "boxes": document.boxes is not None, "lines": len(document.line_starts)}
    return told, b"".join((text, boxes, starts))


def document_of(message: Mapping[str, Any], content: bytes) -> Document:
    """Return the document of a message.

    Raises:
        NOT_A_MESSAGE: One of these, if it is not that of a document.
    """
    text_end = message["text"]
    text = content[:text_end].decode("utf-8", "surrogatepass")
    boxes_end = text_end + (len(text) * _BOX_BYTES if message["boxes"] else 0)
    if len(content) != boxes_end + message["lines"] * _START_BYTES:
        raise ValueError("a document of another size than its message says")
    boxes = np.frombuffer(content[text_end:boxes_end], "<f4").reshape(-1, 4) if message["boxes"] else None
    starts = np.frombuffer(content[boxes_end:], "<i8")
    return Document(text, [Page(*page) for page in message["pages"]], boxes, starts)
