"""Documents that are a file each: text, Markdown, HTML, DOCX and PDF, read by `documents`."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from bigbird_inference.extras import install_command
from bulk.errors import JobError, RowError
from bulk.sources.rows import FileRow, SourceRow
from documents.document import Document
from documents.errors import DocumentError
from documents.parsers import Parsers
from documents.reading import ENDINGS, kind_of, missing_module

DOCUMENT_ENDINGS = frozenset(ENDINGS)


class DocumentCells(dict[str, Any]):
    """The cells of a row that is a document.

    Attributes:
        document: Its text, which is the one cell, and where it stands on pages.
    """

    def __init__(self, column: str, document: Document) -> None:
        super().__init__({column: document.text})
        self.document = document


class DocumentRead:
    """Reads a document when it is called; sooner, if it was told to begin.

    Args:
        source: The file, or what is in it.
        name: Its ending tells what it is.
        column: What to call its text.
        parsers: Read it.
    """

    def __init__(self, source: Path | bytes, name: str, column: str, parsers: Parsers) -> None:
        self._source = source
        self._kind = kind_of(name) or "text"
        self._column = column
        self._parsers = parsers
        self._begun: Future[Document] | None = None

    def begin(self) -> None:
        """Have it read while others are worked on."""
        if self._begun is None:
            self._begun = self._parsers.submit(self._source, self._kind)

    def __call__(self) -> DocumentCells:
        self.begin()
        assert self._begun is not None
        try:
            return DocumentCells(self._column, self._begun.result())
        except DocumentError as error:
            raise RowError(str(error)) from None


def check_readable(name: str) -> None:
    """Check that what reads a file is installed.

    Raises:
        JobError: It is not.
    """
    kind = kind_of(name)
    if kind is not None and (module := missing_module(kind)) is not None:
        raise JobError(f"{name}: needs the package {module!r}: {install_command('documents')}")


def document_row(path: Path, column: str, parsers: Parsers) -> FileRow:
    """Return a file as a row of one column, read when it is wanted.

    Text and Markdown are taken as they stand, so that positions are those of the file without its byte order mark.

    Args:
        path: The file.
        column: What to call the column.
        parsers: Read it.
    """
    try:
        size = path.stat().st_size
    except OSError:
        size = 0
    return whole_file(DocumentRead(path, path.name, column, parsers), size)


def whole_file(read: DocumentRead, size: int) -> FileRow:
    """Return the row that a file of so many bytes is; the offset after it is never 0, where the file begins."""
    return FileRow(None, read, max(size, 1), 1, size)


def read_ahead(rows: Iterable[SourceRow], ahead: int) -> Iterator[SourceRow]:
    """Yield rows; documents are begun while up to so many rows before them are worked on."""
    waiting: deque[SourceRow] = deque()
    for row in rows:
        if isinstance(row.read, DocumentRead):
            row.read.begin()
        waiting.append(row)
        if len(waiting) > ahead:
            yield waiting.popleft()
    yield from waiting
