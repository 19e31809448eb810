"""Rows of named cells out of TSV, CSV and JSON lines, each with the line on which it begins."""

import csv
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO

from evaluation.data.located_json import LocatedJson, parse_json_lines
from evaluation.data.source_text import DataError, Mistakes, has_json_lines, read_source

Cell = str | int | float | bool | list[object] | dict[str, object] | None
"""Tables hold text only."""

# The csv module keeps its limit of a cell's size for the whole process.
_CELL_LIMIT = threading.Lock()


@dataclass(frozen=True, slots=True)
class Row:
    """Cells by the names of their columns."""

    line: int
    cells: Mapping[str, Cell]


def read_table(mistakes: Mistakes, *, header: bool) -> list[Row]:
    """Read a `.tsv`, `.csv` or `.jsonl` file, whatever the case of its ending.

    Cells of TSV are taken as they stand, as GLUE writes them: a quotation mark is a character. Cells of CSV are
    separated by commas, or by semicolons if its first line has no comma between cells. Rows of nothing but empty cells
    are passed over. Rows that cannot be read are noted and left out, and there may be no other.

    Args:
        mistakes: Of the file.
        header: Whether a table's first line names its columns; if not, their names are "1", "2" and so on.

    Raises:
        DataError: The file has another ending, is not of its format, or has no row.
    """
    path = mistakes.path
    source = read_source(path)
    if has_json_lines(path):
        return _json_rows(source, mistakes)
    match path.suffix.lower():
        case ".tsv":
            lines = _tsv_lines(source)
        case ".csv":
            lines = _csv_lines(source, mistakes)
        case _:
            raise DataError(path, None, f"the ending {path.suffix!r} is none of .tsv, .csv and .jsonl")
    rows = [(line, cells) for line, cells in lines if any(cell.strip() for cell in cells)]
    if not rows:
        if not mistakes.found:
            mistakes.add(None, "no row in the file")
        return []
    first = rows[0][1]
    names = first if header else [str(number) for number, _ in enumerate(first, start=1)]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(path, rows[0][0], f"two columns are named {repeated[0]!r}")
    rows = rows[1:] if header else rows
    if not rows and not mistakes.found:
        raise DataError(path, None, "no row follows the header")
    for line, cells in rows:
        if len(cells) != len(names):
            mistakes.add(line, f"{len(cells)} columns, where the first line has {len(names)}")
    return [Row(line, dict(zip(names, cells, strict=True))) for line, cells in rows if len(cells) == len(names)]


def _tsv_lines(source: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(source.split("\n"), start=1):
        yield number, line.split("\t")


def _csv_lines(source: str, mistakes: Mistakes) -> Iterator[tuple[int, list[str]]]:
    """Yield records up to the first that is not CSV, with the lines on which they begin."""
    with _CELL_LIMIT:
        limit = csv.field_size_limit(sys.maxsize)
        begin = 1
        try:
            reader = csv.reader(StringIO(source), delimiter=_csv_delimiter(source), strict=True)
            for cells in reader:
                yield begin, cells
                begin = reader.line_num + 1
        except csv.Error as error:
            mistakes.add(begin, f"not CSV: {error}")
        finally:
            csv.field_size_limit(limit)


def _csv_delimiter(source: str) -> str:
    """Return a comma, or the semicolon of spreadsheets in countries whose decimals have the comma."""
    return ";" if _first_columns(source, ",") < 2 <= _first_columns(source, ";") else ","


def _first_columns(source: str, delimiter: str) -> int:
    """Count the columns of the first record, 0 if it is not CSV."""
    reader = csv.reader(StringIO(source), delimiter=delimiter, strict=True)
    try:
        return len(next((cells for cells in reader if cells), []))
    except csv.Error:
        return 0


def _json_rows(source: str, mistakes: Mistakes) -> list[Row]:
    rows = []
    for line in parse_json_lines(source, mistakes):
        if isinstance(line.value, dict):
            rows.append(Row(line.line, {name: _plain(cell) for name, cell in line.value.items()}))
        else:
            mistakes.add(line.line, "the line is not a JSON object")
    return rows


def _plain(located: LocatedJson) -> Cell:
    """Return the JSON value without its places."""
    value = located.value
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    cell: Cell = value
    return cell
