"""CSV and TSV: the first line names the columns.

Cells of CSV are separated by commas, or by the semicolons of spreadsheets in countries whose decimals have the comma.
Cells of TSV are taken as they stand: a quotation mark is a character. Bytes that are not UTF-8 become lone surrogates,
which no task accepts, so that only rows that need such a cell fail.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from bulk.errors import JobError, RowError
from bulk.sources.rows import LARGEST_ROW_BYTES, ByteLines, FileRow, check_encoding, read_lines, too_large


class _CountedLines:
    """Gives a CSV reader its lines, and knows how far it has got."""

    def __init__(self, stream: ByteLines, offset: int, lines: int) -> None:
        self._lines = read_lines(stream)
        self.offset = offset
        self.lines = lines
        self.too_large: int | None = None
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines, None)
        if line is None:
            self.ended = True
            raise StopIteration
        self.offset += line.size
        self.lines += 1
        if line.content is None:
            self.too_large = line.size
            return "\n"
        return line.content.decode("utf-8", "surrogateescape")


def table_rows(stream: ByteLines, header: ByteLines, offset: int, lines: int, *, tabs: bool) -> Iterator[FileRow]:
    """Yield the records below the header; rows of nothing but empty cells are passed over.

    Args:
        stream: The file, at the offset.
        header: The same file at its beginning, for its first line; the stream itself if that is there.
        offset: Bytes before the stream.
        lines: Lines before it.
        tabs: Whether it is TSV.

    Raises:
        JobError: There is no header, or it names two columns alike.
    """
    csv.field_size_limit(LARGEST_ROW_BYTES)
    own = _CountedLines(header, 0, 0)
    columns, dialect = _header(own, tabs)
    _check_header(columns)
    counted = own if header is stream else _CountedLines(stream, offset, lines)
    records = csv.reader(counted, **dialect)
    while True:
        begin, before = counted.lines + 1, counted.offset
        problem: str | None = None
        cells: Sequence[str] = ()
        try:
            cells = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            problem = f"not a table: {error}"
        if counted.ended:
            # A record asks for the line behind its own only between quotation marks.
            problem = f"a quotation mark is not closed from line {begin} to the end of the file; close it"
        if counted.too_large is not None:
            problem, counted.too_large = too_large(counted.too_large), None
        if problem is None and not any(cell.strip() for cell in cells):
            continue
        read = partial(_named, columns, cells, problem)
        yield FileRow(begin, read, counted.offset, counted.lines, counted.offset - before)


def _header(lines: _CountedLines, tabs: bool) -> tuple[Sequence[str], dict[str, Any]]:
    """Read the names of the columns, which may have line feeds in them; return them, and how the table is written."""
    first = next(lines, "").removeprefix("\ufeff")
    check_encoding(first.encode("utf-8", "surrogateescape"))
    read = [first]

    def from_the_first() -> Iterator[str]:
        yield from tuple(read)
        for line in lines:
            read.append(line)
            yield line

    dialect: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if tabs else {"delimiter": ","}
    try:
        columns = next(csv.reader(from_the_first(), **dialect), [])
        if not tabs and len(columns) < 2 <= len(semicolons := next(csv.reader(from_the_first(), delimiter=";"), [])):
            return semicolons, {"delimiter": ";"}
    except csv.Error as error:
        if "\r" in first.rstrip("\r\n"):
            raise JobError("its lines end with CR alone; save it with LF or CRLF") from error
        raise JobError(f"the first line is no header: {error}") from error
    return columns, dialect


def _check_header(columns: Sequence[str]) -> None:
    if not any(column.strip() for column in columns):
        raise JobError("the first line names no column; a table needs a header")
    # Spreadsheets write commas behind the last name for cells that were once used.
    repeated = sorted({column for column in columns if column and columns.count(column) > 1})
    if repeated:
        raise JobError(f"two columns are named {repeated[0]!r}; give each a name of its own")


def _named(columns: Sequence[str], cells: Sequence[str], problem: str | None) -> Mapping[str, Any]:
    if problem is not None:
        raise RowError(problem)
    if len(cells) != len(columns):
        raise RowError(f"{len(cells)} cells, where the header has {len(columns)}")
    return dict(zip(columns, cells, strict=True))
