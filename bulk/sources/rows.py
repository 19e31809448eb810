"""What every reader of inputs gives: rows that are parsed only when they are wanted, and where to go on after each."""

import codecs
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bulk.errors import JobError

LARGEST_ROW_BYTES = 16 * 2**20
"""A row of the input, or a document, that is larger becomes an error; it is never held in memory."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where reading goes on.

    Attributes:
        row: Rows before it, of all inputs.
        file: Files before it.
        offset: Where in the file: bytes, or for Parquet rows.
        lines: Lines before it in the file, or for Parquet rows.
        digest: SHA-256 of all bytes before it, for standard input only: what is piped in again is compared with it.
    """

    row: int = 0
    file: int = 0
    offset: int = 0
    lines: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class FileRow:
    """A row of one file.

    Attributes:
        line: Where it begins, counted from 1; None for a file that is one row.
        read: Parses it to values by the names of columns; raises `RowError`.
        offset: Where the next one begins.
        lines: Lines of the file up to there.
        bytes: What it takes of the file, about.
    """

    line: int | None
    read: Callable[[], Mapping[str, Any]]
    offset: int
    lines: int
    bytes: int


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row of all inputs.

    Attributes:
        number: Counted from 0 over all inputs.
        name: Its file, and its line in it.
        read: As in `FileRow`.
        after: Where to go on after it.
        bytes: What it takes of the inputs, together with rows before it that belong to other shards.
    """

    number: int
    name: str
    read: Callable[[], Mapping[str, Any]]
    after: Position
    bytes: int


class ByteLines(Protocol):
    """A binary stream, as far as readers of lines need it."""

    def readline(self, limit: int = -1, /) -> bytes:
        """Return bytes up to and with the next line feed, but at most so many; nothing at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file, its end included.

    Attributes:
        content: Its bytes, or None if it is larger than a row may be.
        size: How many bytes it has.
    """

    content: bytes | None
    size: int


def read_lines(stream: ByteLines, largest: int = LARGEST_ROW_BYTES) -> Iterator[Line]:
    """Yield the lines of a stream; nothing is read beyond the line that is yielded."""
    while content := stream.readline(largest + 1):
        size = len(content)
        if size <= largest:
            yield Line(content, size)
            continue
        while content and not content.endswith(b"\n"):
            content = stream.readline(largest)
            size += len(content)
        yield Line(None, size)


def check_encoding(first_line: bytes) -> None:
    """Check that a file of rows is not in the other encoding that spreadsheets and shells write.

    Raises:
        JobError: It is.
    """
    if first_line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise JobError("is UTF-16; save it as UTF-8")


def too_large(size: int, largest: int = LARGEST_ROW_BYTES) -> str:
    """Return what is wrong with a row of so many bytes."""
    return f"{size} bytes are more than the {largest} that a row may have; cut it into several"
