"""Copies of PDFs with the answers marked, made of the rows of a part when it is done.

A copy takes its place whole, and before its part counts as done: after a kill the part's copies are made again. Nothing
is ever written outside the folder, which no input can be in: it must be new or empty when the job begins.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

from bulk.errors import JobError
from bulk.object_store import is_stored
from bulk.own_files import refuse_own_files
from documents.document import Box, Mark
from documents.errors import DocumentError
from documents.parsers import Parsers
from documents.reading import kind_of

_AT_ONCE = 16
# Of a file's name, in bytes, on file systems that are in use.
_LONGEST_NAME = 255


def check_folder(folder: Path, inputs: Iterable[str], *, begun: bool) -> None:
    """Check that a folder can hold a job's copies, and make it.

    Args:
        folder: For the copies.
        inputs: Of the job.
        begun: Whether the job was begun before, so that copies may be there.

    Raises:
        JobError: The folder is an input or lies in one, holds other files, or inputs are not files of this machine.
    """
    for given in inputs:
        if is_stored(given):
            raise JobError(f"--highlight {folder}: copies are made of files of this machine; download {given} first")
    refuse_own_files(f"--highlight {folder}", [folder / "0-.pdf"], inputs)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not begun and any(folder.iterdir()):
            raise JobError(f"--highlight {folder}: is not empty; name a new folder, or empty it")
    except OSError as error:
        raise JobError(f"--highlight {folder}: cannot be written: {error.strerror}; name another") from error


def write_highlights(rows: Iterable[bytes], folder: Path, parsers: Parsers) -> None:
    """Write a copy of each PDF that has answers.

    Args:
        rows: Of the output, those of one input beside each other.
        folder: Where the copies go, each under the number of its row and the name of its file.
        parsers: Make the copies.

    Raises:
        OSError: One cannot be written.
    """
    waiting: list[tuple[str, Path, Future[bytes]]] = []
    for name, place, marks in _copies(rows, folder):
        if len(waiting) >= _AT_ONCE:
            _write(*waiting.pop(0))
        waiting.append((name, place, parsers.submit_highlight(Path(name), marks)))
    for copy in waiting:
        _write(*copy)


def _copies(rows: Iterable[bytes], folder: Path) -> Iterator[tuple[str, Path, list[Mark]]]:
    parsed = (json.loads(row) for row in rows)
    for number, own in groupby(parsed, key=lambda row: row["row"]):
        answered = list(own)
        marks = [mark for row in answered for mark in _marks(row)]
        name = answered[0]["id"]
        if marks and kind_of(name) == "pdf":
            yield name, folder / _copy_name(number, Path(name)), marks


def _copy_name(number: int, original: Path) -> str:
    """Return the name of a copy, shortened as far as it must be while the copy is made."""
    stem = original.stem
    while len(os.fsencode(_unfinished(name := f"{number}-{stem}{original.suffix}"))) > _LONGEST_NAME:
        stem = stem[:-1]
    return name


def _unfinished(name: str) -> str:
    return f".{name}.new"


def _marks(row: dict[str, Any]) -> Iterator[Mark]:
    """Yield what is marked of a row: the best answer with its question, or every span with its label."""
    if "boxes" in row:
        spans = [(row.get("question") or "", row)]
    else:
        lists = [value for value in row.values() if isinstance(value, list)]
        spans = [(str(span.get("label", "")), span) for spans in lists for span in spans if isinstance(span, dict)]
    for note, span in spans:
        if boxes := span.get("boxes"):
            yield Mark([Box(**box) for box in boxes], note)


def _write(name: str, place: Path, copy: "Future[bytes]") -> None:
    try:
        content = copy.result()
    except DocumentError as error:
        with suppress(OSError):  # standard error may be closed
            print(f"{name}: has answers, but no copy with marks: {error}", file=sys.stderr)
        return
    new = place.with_name(_unfinished(place.name))
    new.write_bytes(content)
    new.replace(place)
