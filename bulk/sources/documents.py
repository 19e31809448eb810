"""Documents that are a file each: plain text, Markdown, HTML."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bulk.errors import RowError
from bulk.sources.html_text import html_text
from bulk.sources.rows import LARGEST_ROW_BYTES, FileRow, too_large

HTML_ENDINGS = frozenset((".html", ".htm", ".xhtml"))
DOCUMENT_ENDINGS = frozenset((".txt", ".md", ".markdown")) | HTML_ENDINGS


def document_row(path: Path, column: str) -> Iterator[FileRow]:
    """Yield a file as a row of one column.

    Text and Markdown are taken as they stand, so that positions are those of the file without its byte order mark.

    Args:
        path: The file.
        column: What to call the column.
    """
    try:
        size = path.stat().st_size
    except OSError:
        size = 0
    yield FileRow(None, partial(_read, path, column), size, 0, size)


def _read(path: Path, column: str) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_ROW_BYTES + 1)
            size = path.stat().st_size
    except OSError as error:
        raise RowError(f"the file cannot be read: {error.strerror or error}") from None
    if len(content) > LARGEST_ROW_BYTES:
        raise RowError(too_large(size))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RowError(
            f"not UTF-8: byte 0x{content[error.start]:02x} at position {error.start}; convert the file to UTF-8"
        ) from None
    return {column: html_text(text) if path.suffix.lower() in HTML_ENDINGS else text}
