"""Documents of object stores: each is copied when its text is wanted, and read as a file here is."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bulk.errors import RowError
from bulk.object_store import StoredEntry, open_stored
from bulk.sources.documents import document_row
from bulk.sources.rows import LARGEST_ROW_BYTES, FileRow, too_large


def stored_document_row(entry: StoredEntry, column: str) -> Iterator[FileRow]:
    """Yield an object as a row of one column.

    Args:
        entry: The object.
        column: What to call the column.
    """
    yield FileRow(None, partial(_read, entry, column), entry.bytes, 0, entry.bytes)


def _read(entry: StoredEntry, column: str) -> Mapping[str, Any]:
    if entry.bytes > LARGEST_ROW_BYTES:
        raise RowError(too_large(entry.bytes))
    with tempfile.TemporaryDirectory(prefix="bigbird-") as folder:
        path = Path(folder) / f"document{Path(entry.last_name).suffix}"
        try:
            with open_stored(entry.name) as stored, path.open("wb") as copy:
                shutil.copyfileobj(stored, copy)
        except OSError as error:
            raise RowError(f"the object cannot be read: {error.strerror or error}") from None
        (row,) = document_row(path, column)
        return row.read()
