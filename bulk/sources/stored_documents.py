"""Documents of object stores: each is fetched when its text is wanted, and read as a file here is."""

from bulk.errors import RowError
from bulk.object_store import StoredEntry, read_stored
from bulk.sources.documents import DocumentCells, DocumentRead, whole_file
from bulk.sources.rows import FileRow
from documents.errors import DocumentError
from documents.parsers import Parsers
from documents.reading import check_size


class StoredDocumentRead(DocumentRead):
    """Fetches and reads a document when it is called, and not before: what is fetched is held in memory.

    Args:
        entry: The object.
        column: What to call its text.
        parsers: Read it.
    """

    def __init__(self, entry: StoredEntry, column: str, parsers: Parsers) -> None:
        super().__init__(b"", entry.last_name, column, parsers)
        self._entry = entry

    def begin(self) -> None:
        """Leave it to the call."""

    def __call__(self) -> DocumentCells:
        try:
            check_size(self._entry.bytes, self._parsers.limits)
            content = read_stored(self._entry.name, self._entry.bytes)
        except DocumentError as error:
            raise RowError(str(error)) from None
        except OSError as error:
            raise RowError(f"the object cannot be read: {error.strerror or error}") from None
        return DocumentRead(content, self._entry.last_name, self._column, self._parsers)()


def stored_document_row(entry: StoredEntry, column: str, parsers: Parsers) -> FileRow:
    """Return an object as a row of one column, fetched when it is wanted.

    Args:
        entry: The object.
        column: What to call the column.
        parsers: Read it.
    """
    return whole_file(StoredDocumentRead(entry, column, parsers), entry.bytes)
