"""Rows of named cells out of TSV, CSV and JSON lines, each with the line on which it begins."""

import csv
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from evaluation.data.located_json import LocatedJson, parse_located
from evaluation.data.source_text import DataError, read_source

Cell = str | int | float | bool | list[object] | dict[str, object] | None
"""Tables hold text only."""

# The csv module keeps its limit of a cell's size for the whole process.
_CELL_LIMIT = threading.Lock()


@dataclass(frozen=True, slots=True)
class Row:
    """Cells by the names of their columns."""

    line: int
    cells: Mapping[str, Cell]


def read_table(path: Path, *, header: bool) -> list[Row]:
    """Read a `.tsv`, `.csv` or `.jsonl` file; never returns an empty list.

    Cells of TSV are taken as they stand, as GLUE writes them: a quotation mark is a character.

    Args:
        path: The file.
        header: Whether a table's first line names its columns; if not, their names are "1", "2" and so on.

    Raises:
        DataError: The file has another ending, is not of its format, or a row has more or fewer cells than others.
    """
    source = read_source(path)
    match path.suffix:
        case ".jsonl":
            return _json_rows(source, path)
        case ".tsv":
            lines = _tsv_lines(source)
        case ".csv":
            lines = _csv_lines(source, path)
        case ending:
            raise DataError(path, None, f"the ending {ending!r} is none of .tsv, .csv and .jsonl")
    rows = list(lines)
    names = rows.pop(0)[1] if header else [str(number) for number, _ in enumerate(rows[0][1], start=1)]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(path, 1, f"two columns are named {repeated[0]!r}")
    if not rows:
        raise DataError(path, None, "no row follows the header")
    for line, cells in rows:
        if len(cells) != len(names):
            raise DataError(path, line, f"{len(cells)} columns, where the first line has {len(names)}")
    return [Row(line, dict(zip(names, cells, strict=True))) for line, cells in rows]


def _tsv_lines(source: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(source.split("\n"), start=1):
        if line.strip():
            yield number, line.removesuffix("\r").split("\t")


def _csv_lines(source: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(StringIO(source, newline=""), strict=True)
    with _CELL_LIMIT:
        limit = csv.field_size_limit(sys.maxsize)
        begin = 1
        try:
            for cells in reader:
                if cells:
                    yield begin, cells
                begin = reader.line_num + 1
        except csv.Error as error:
            raise DataError(path, begin, f"not CSV: {error}") from None
        finally:
            csv.field_size_limit(limit)


def _json_rows(source: str, path: Path) -> list[Row]:
    rows = []
    for number, line in enumerate(source.split("\n"), start=1):
        if line.strip():
            row = parse_located(line, path, number, "the line")
            if not isinstance(row.value, dict):
                row.refuse("the line is not a JSON object")
            rows.append(Row(number, {name: _plain(cell) for name, cell in row.value.items()}))
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
