"""Texts with labels or numbers, in the tables of GLUE (TSV), in CSV and in JSON lines."""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evaluation.data.source_text import DataError, Mistakes, unknown_label
from evaluation.data.tables import Cell, Row, read_table

Target = Literal["label", "labels", "number"]
"""What is to be predicted: one label, any number of labels, or a number (regression)."""

# The first of these whose columns are all there is taken; the names are those of GLUE's own files and of the hub's.
_TEXT_COLUMNS: Sequence[tuple[str, str | None]] = (
    ("text", "text_pair"),
    ("sentence1", "sentence2"),
    ("question1", "question2"),
    ("premise", "hypothesis"),
    ("question", "sentence"),
    ("#1 String", "#2 String"),
    ("text", None),
    ("sentence", None),
)
_LABEL_COLUMNS = ("label", "labels", "gold_label", "score", "is_duplicate", "Quality")


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of columns (JSON: fields); None takes the names that GLUE uses.

    Attributes:
        text: The text, or the first of a pair.
        pair: The second of a pair; the empty string says that there is none.
        label: The label, the labels or the number.
    """

    text: str | None = None
    pair: str | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class LabelledText:
    """One row.

    Attributes:
        text: The text.
        pair: The second text, or None.
        labels: One for the target `label`, any number for `labels`, none for `number`.
        number: Of the target `number`, otherwise None.
        line: Where the row begins.
    """

    text: str
    pair: str | None
    labels: tuple[str, ...]
    number: float | None
    line: int

    @property
    def label(self) -> str:
        """The only label."""
        (label,) = self.labels
        return label


def read_labelled_texts(
    path: Path,
    target: Target = "label",
    *,
    columns: Columns | None = None,
    header: bool = True,
    separator: str = ",",
    known_labels: Sequence[str] | None = None,
    mistakes: Mistakes | None = None,
) -> list[LabelledText]:
    """Read and check a `.tsv`, `.csv` or `.jsonl` file; never returns an empty list.

    Args:
        path: The file; its ending tells the format.
        target: What is to be predicted.
        columns: Which columns hold what.
        header: Whether a table's first line names its columns; if not, `columns` holds their numbers from 1.
        separator: Between several labels in one cell of a table; JSON has lists.
        known_labels: Refuse any other label.
        mistakes: Where the caller, who has more to check, collects them; rows that cannot be used are then left out.

    Raises:
        DataError: Anything is missing or of the wrong kind; the message names the lines.
    """
    with Mistakes(path) if mistakes is None else nullcontext(mistakes) as found:
        rows = read_table(found, header=header)
        named = _find_columns(found, rows, columns or Columns()) if rows else None
        if named is None:
            return []
        reader = _RowReader(found, target, named, separator, known_labels)
        return [text for text in map(reader.read, rows) if text is not None]


def _find_columns(mistakes: Mistakes, rows: Sequence[Row], asked: Columns) -> Columns | None:
    """Return which columns hold what, the pair being None if there is none; or note which are not there.

    Lines of JSON may have different fields: one that any of them gives a value is a column of the file, so that a row
    without it is an error and not one text where others have two.
    """
    names = list(dict.fromkeys(name for row in rows for name, cell in row.cells.items() if cell is not None))
    line = rows[0].line
    text, pair = asked.text, asked.pair
    if text is None:
        candidates = [(first, second if pair is None else pair or None) for first, second in _TEXT_COLUMNS]
        text, pair = next(
            (found for found in candidates if {name for name in found if name is not None} <= set(names)),
            (None, None),
        )
    label = asked.label or next((name for name in _LABEL_COLUMNS if name in names), None)
    found = Columns(text, pair or None, label)
    given = ", ".join(repr(name) for name in names)
    problems = []
    for option, name in (("text", found.text), ("pair", found.pair), ("label", found.label)):
        if name is None and option != "pair":
            problems.append(f"which column holds the {option}s? Name one with --{option}-column: {given}")
        if name is not None and name not in names:
            problems.append(f"there is no column {name!r}, only: {given}")
    for problem in problems:
        mistakes.add(line, problem)
    return None if problems else found


@dataclass(frozen=True, slots=True)
class _RowReader:
    """What is the same for every row of a file."""

    mistakes: Mistakes
    target: Target
    columns: Columns
    separator: str
    known_labels: Sequence[str] | None

    def read(self, row: Row) -> LabelledText | None:
        """Return what a row says, or note all that is wrong with it."""
        assert self.columns.text is not None and self.columns.label is not None
        text = pair = number = None
        labels: tuple[str, ...] | None = None
        with self.mistakes.collected():
            text = self._text(row, self.columns.text)
        with self.mistakes.collected():
            pair = None if self.columns.pair is None else self._text(row, self.columns.pair)
        with self.mistakes.collected():
            cell = self._cell(row, self.columns.label)
            if self.target == "number":
                labels, number = (), self._number(row, cell)
            else:
                labels = (self._label(row, cell),) if self.target == "label" else self._labels(row, cell)
        if text is None or labels is None:
            return None
        return LabelledText(text, pair, labels, number, row.line)

    def _cell(self, row: Row, column: str) -> Cell:
        cell = row.cells.get(column)
        if cell is None:
            raise DataError(self.mistakes.path, row.line, f"the row has no {column!r}")
        return cell

    def _text(self, row: Row, column: str) -> str:
        cell = self._cell(row, column)
        if not isinstance(cell, str) or not cell:
            problem = "is not text" if cell != "" else "is empty"
            raise DataError(self.mistakes.path, row.line, f"{column!r} {problem}")
        return cell

    def _label(self, row: Row, cell: object) -> str:
        # `true` is an `int` in Python.
        if isinstance(cell, bool) or not isinstance(cell, str | int) or not str(cell).strip():
            raise DataError(self.mistakes.path, row.line, f"{self.columns.label!r} is not a label: {cell!r}")
        label = str(cell).strip()
        if self.known_labels is not None and label not in self.known_labels:
            raise DataError(self.mistakes.path, row.line, unknown_label(label, self.known_labels))
        return label

    def _labels(self, row: Row, cell: Cell) -> tuple[str, ...]:
        if isinstance(cell, str):
            given: list[object] = [part for part in cell.split(self.separator) if part.strip()]
        elif isinstance(cell, list):
            given = cell
        else:
            given = [cell]
        labels: list[str] = []
        for label in given:
            with self.mistakes.collected():
                labels.append(self._label(row, label))
        if len(set(labels)) != len(labels):
            raise DataError(self.mistakes.path, row.line, f"{self.columns.label!r} has a label twice")
        return tuple(labels)

    def _number(self, row: Row, cell: Cell) -> float:
        try:
            number = float(cell) if isinstance(cell, str | int | float) and not isinstance(cell, bool) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise DataError(self.mistakes.path, row.line, f"{self.columns.label!r} is not a number: {cell!r}")
        return number
