"""All inputs of a job as one stream of numbered rows, which can be read from any of them on.

Files are found again each time that the stream is read, in the same order, so that a folder of a million documents is
never a list in memory. That they are still the same files is what `survey` is for.
"""

import glob
import hashlib
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, get_args

from bulk.errors import JobError
from bulk.object_store import StoredEntry, entries, is_stored, look_up, matching, open_stored
from bulk.sources.documents import DOCUMENT_ENDINGS, check_readable, document_row
from bulk.sources.json_lines import json_rows
from bulk.sources.parquet_rows import parquet_rows
from bulk.sources.rows import ByteLines, FileRow, Position, SourceRow
from bulk.sources.standard_input import HashedStream
from bulk.sources.stored_documents import stored_document_row
from bulk.sources.tables import table_rows
from documents.limits import Limits
from documents.parsers import Parsers

Format = Literal["jsonl", "csv", "tsv", "parquet", "text"]
FORMATS: tuple[Format, ...] = get_args(Format)

STANDARD_INPUT = "-"
_ENDINGS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    **dict.fromkeys(DOCUMENT_ENDINGS, "text"),
}


@dataclass(frozen=True, slots=True)
class Shard:
    """A share of the rows: those whose number leaves the remainder `index` when divided by `count`."""

    index: int = 0
    count: int = 1


@dataclass(frozen=True, slots=True)
class Survey:
    """What the inputs are, without a look into them.

    Attributes:
        fingerprint: Names, sizes and times of change of all files, as a SHA-256; of objects, what the store tells
            their contents apart by.
        files: How many there are.
        bytes: How large they are together; None with standard input.
        passed_over: Files in folders that are not documents by their endings, or not regular files.
        documents: Those of the files that are a document each.
    """

    fingerprint: str
    files: int
    bytes: int | None
    passed_over: int
    documents: int


class _File(NamedTuple):
    """A file, an object in a store, or standard input; a tuple, because a job goes past a million of them."""

    name: str
    format: Format
    stored: StoredEntry | None = None

    @property
    def piped(self) -> bool:
        return self.name == STANDARD_INPUT

    @property
    def path(self) -> Path:
        return Path(self.name)

    def state(self) -> tuple[int, str]:
        """Return its size, and what tells its contents from others; a file of rows must also be one that can be read.

        A document that cannot be read is a row with an error.
        """
        if self.stored is not None:
            return self.stored.bytes, self.stored.version
        status = os.stat(self.name)
        if not stat.S_ISREG(status.st_mode):
            raise JobError(f"{self.name}: is not a regular file; pipe what it gives into -, or write it to a file")
        if self.format != "text":
            os.close(os.open(self.name, os.O_RDONLY))
        return status.st_size, str(status.st_mtime_ns)

    def open(self, offset: int = 0) -> BinaryIO:
        if self.stored is not None:
            return open_stored(self.name, offset)
        stream = self.path.open("rb")
        stream.seek(offset)
        return stream


class Inputs:
    """The inputs that a job was given.

    Args:
        given: Files, folders, patterns, or `-`.
        format: What files are, whatever their endings say; standard input is JSON lines otherwise.
        document_column: What to call the text of files that are a document each.
        standard_input: What `-` reads.
        parsers: Read files that are a document each.
    """

    def __init__(
        self,
        given: Sequence[str],
        *,
        format: Format | None = None,
        document_column: str = "text",
        standard_input: Callable[[], BinaryIO] = lambda: sys.stdin.buffer,
        parsers: Parsers | None = None,
    ) -> None:
        self._given = given
        self._format = format
        self._document_column = document_column
        self._standard_input = standard_input
        self._parsers = parsers or Parsers(Limits())
        self._passed_over = 0
        if given.count(STANDARD_INPUT) > 1:
            raise JobError("- is given twice; standard input can be read once")

    def survey(self) -> Survey:
        """Look at all files.

        Raises:
            JobError: There is none, one cannot be read, or a package that reads it is not installed.
        """
        found = hashlib.sha256()
        files, size, documents = 0, 0, 0
        checked: set[str] = set()
        for file in self._files():
            files += 1
            if file.format == "text":
                documents += 1
                if (ending := _ending(file.name)) not in checked:
                    check_readable(file.name)
                    checked.add(ending)
            if file.piped:
                found.update(b"-\n")
                continue
            try:
                own_size, version = file.state()
            except OSError as error:
                raise JobError(f"{file.name}: cannot be read: {error.strerror}") from error
            size += own_size
            found.update(f"{file.name!a} {file.format} {own_size} {version}\n".encode())
        if files == 0:
            told = f"a pattern must fit files, and a folder hold some that end with {_listed_endings()}"
            raise JobError(f"nothing to read in {', '.join(self._given)}: {told}")
        known = None if STANDARD_INPUT in self._given else size
        return Survey(found.hexdigest(), files, known, self._passed_over, documents)

    def rows(self, start: Position, shard: Shard) -> Iterator[SourceRow]:
        """Yield the rows of a shard from a position on.

        Raises:
            JobError: A file is not what its ending says, or standard input is another than the first time.
        """
        number, skipped_bytes = start.row, 0
        for file_number, file in enumerate(self._files()):
            if file_number < start.file:
                continue
            resumed = file_number == start.file
            offset, lines = (start.offset, start.lines) if resumed else (0, 0)
            for row, digest in self._rows_of(file, offset, lines, start.digest if resumed else ""):
                mine = number % shard.count == shard.index
                number += 1
                if not mine:
                    skipped_bytes += row.bytes
                    continue
                name = file.name if row.line is None else f"{file.name}:{row.line}"
                after = Position(number, file_number, row.offset, row.lines, digest)
                yield SourceRow(number - 1, name, row.read, after, row.bytes + skipped_bytes)
                skipped_bytes = 0

    def _rows_of(self, file: _File, offset: int, lines: int, digest: str) -> Iterator[tuple[FileRow, str]]:
        """Yield rows, each with the digest of standard input up to it; that of a file is empty."""
        if file.format == "text" and not file.piped:
            # The position after a document is still that of its file.
            if not offset:
                yield self._document(file), ""
            return
        try:
            if file.piped:
                piped = HashedStream(self._standard_input())
                beginning = piped.skip(offset, digest)
                for row in _lines_of(file.format, piped, beginning, offset, lines):
                    yield row, piped.digest()
            elif file.format == "parquet":
                with file.open() as content:
                    for row in parquet_rows(content, lines):
                        yield row, ""
            else:
                with file.open() as header, file.open(offset) if offset else nullcontext(header) as stream:
                    for row in _lines_of(file.format, stream, header, offset, lines):
                        yield row, ""
        except JobError as error:
            raise JobError(str(error) if str(error).startswith(file.name) else f"{file.name}: {error}") from error
        except OSError as error:
            raise JobError(f"{file.name}: cannot be read: {error.strerror or error}") from error

    def _document(self, file: _File) -> FileRow:
        if file.stored is not None:
            return stored_document_row(file.stored, self._document_column, self._parsers)
        # Not the name, which a process with another working folder could not open.
        return document_row(file.path.absolute(), self._document_column, self._parsers)

    def _files(self) -> Iterator[_File]:
        self._passed_over = 0
        for given in self._given:
            if given == STANDARD_INPUT:
                if self._format in ("parquet", "text"):
                    raise JobError(f"standard input cannot be {self._format}; name the file instead of -")
                yield _File(given, self._format or "jsonl")
            elif is_stored(given):
                yield from self._stored(given)
            elif Path(given).is_dir():
                yield from self._documents_in(given)
            elif os.path.lexists(given) or not glob.has_magic(given):
                yield self._named(given)
            else:
                for name in sorted(glob.glob(given, recursive=True)):
                    if not os.path.isdir(name):
                        yield self._named(name)

    def _stored(self, given: str) -> Iterator[_File]:
        found = look_up(given)
        if found is not None:
            yield from self._stored_documents_in(given) if found.folder else [self._named(given, found)]
        elif glob.has_magic(given):
            for own in matching(given):
                yield self._named(own.name, own)
        else:
            raise JobError(f"{given}: the store has no such object; name an object, a folder or a pattern")

    def _named(self, name: str, stored: StoredEntry | None = None) -> _File:
        format = self._format or _ENDINGS.get(_ending(name))
        if format is None:
            raise JobError(
                f"{name}: its ending is none of {', '.join(sorted(_ENDINGS))}; say what it is with --input-format"
            )
        return _File(name, format, stored)

    def _documents_in(self, folder: str) -> Iterator[_File]:
        """Yield the documents of a folder and of those in it, in the order of their names; none that are hidden."""
        opened = [self._entries(folder)]
        while opened:
            path, is_folder = next(opened[-1], ("", False))
            if is_folder:
                opened.append(self._entries(path))
            elif path:
                yield _File(path, "text")
            else:
                opened.pop()

    def _entries(self, folder: str) -> Iterator[tuple[str, bool]]:
        """Yield the documents and folders in a folder, each with whether it is a folder."""
        # Names alone: what the system tells of a file besides takes several times as much memory.
        names: list[str] = []
        folders: set[str] = set()
        try:
            with os.scandir(folder) as found:
                for entry in found:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.add(entry.name)
                    elif not (_ending(entry.name) in DOCUMENT_ENDINGS and _is_file(entry)):
                        self._passed_over += 1
                        continue
                    names.append(entry.name)
        except OSError as error:
            raise JobError(f"{folder}: cannot be read: {error.strerror}") from error
        names.sort()
        beginning = os.path.join(folder, "")
        for name in names:
            yield beginning + name, name in folders

    def _stored_documents_in(self, folder: str) -> Iterator[_File]:
        """Do the same in an object store."""
        for entry in entries(folder):
            if entry.last_name.startswith("."):
                continue
            if entry.folder:
                yield from self._stored_documents_in(entry.name)
            elif _ending(entry.last_name) in DOCUMENT_ENDINGS:
                yield _File(entry.name, "text", entry)
            else:
                self._passed_over += 1


def _lines_of(format: Format, stream: ByteLines, header: ByteLines, offset: int, lines: int) -> Iterator[FileRow]:
    if format == "jsonl":
        return json_rows(stream, offset, lines)
    return table_rows(stream, header, offset, lines, tabs=format == "tsv")


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that leads in a circle, or to where nobody may look
        return False


def _ending(name: str) -> str:
    dot = name.rfind(".")
    return name[dot:].lower() if dot > name.rfind("/") + 1 else ""


def _listed_endings() -> str:
    return ", ".join(sorted(DOCUMENT_ENDINGS))
