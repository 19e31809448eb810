"""A file to a document, by its ending. The parsers run here, in this process; `documents.parsers` keeps them apart."""

import importlib.util
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from documents.document import Document, Mark
from documents.errors import DocumentError
from documents.limits import Limits

Kind = Literal["text", "html", "docx", "pdf"]

ENDINGS: Mapping[str, Kind] = {
    ".txt": "text",
    ".md": "text",
    ".markdown": "text",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".docx": "docx",
    ".pdf": "pdf",
}
_MODULES: Mapping[Kind, str] = {"html": "resiliparse", "docx": "docx", "pdf": "pypdfium2"}
_MEGABYTE = 1_000_000
# A reader of PDF looks for the mark in the first kilobyte.
_PDF_MARK, _MARK_WITHIN = b"%PDF-", 1024
_ZIP_MARK, _OLE_MARK = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"


def kind_of(name: str) -> Kind | None:
    """Return what a file is by its ending, or None if that tells of no document."""
    return ENDINGS.get(Path(name).suffix.lower())


def missing_module(kind: Kind) -> str | None:
    """Return the module that reading such files needs and that is not installed."""
    module = _MODULES.get(kind)
    return module if module is not None and importlib.util.find_spec(module) is None else None


def check_size(size: int, limits: Limits) -> None:
    """Check the size of a file, in bytes.

    Raises:
        DocumentError: It is too large.
    """
    if size > limits.megabytes * _MEGABYTE:
        told = f"{size / _MEGABYTE:,.1f} MB are more than {limits.megabytes:,}"
        raise DocumentError(f"{told}; split it, or raise --max-file-megabytes")


def read_document(source: Path | bytes, kind: Kind, limits: Limits) -> Document:
    """Read a document in this process, without its limits of time and memory.

    Args:
        source: The file, or what is in it.
        kind: What it is.
        limits: Of size, pages and characters.

    Raises:
        DocumentError: It cannot be read.
    """
    _check_content(source, kind, limits)
    # Each format's library is imported for its files alone.
    if kind == "pdf":
        from documents.pdf_text import read_pdf

        return read_pdf(source, limits)
    content = source.read_bytes() if isinstance(source, Path) else source
    if kind == "text":
        text = decoded(content)
    elif kind == "html":
        from documents.html_text import html_text

        text = html_text(content)
    else:
        from documents.docx_text import docx_text

        text = docx_text(content)
    if len(text) > limits.characters:
        raise DocumentError(f"more than {limits.characters:,} characters of text; split it")
    return Document(text)


def highlight(source: Path | bytes, marks: Sequence[Mark], limits: Limits) -> bytes:
    """Return a copy of a PDF with passages marked, likewise in this process.

    Raises:
        DocumentError: It cannot be read, or not be written.
    """
    _check_content(source, "pdf", limits)
    from documents.pdf_highlights import highlighted_pdf

    return highlighted_pdf(source, marks)


def decoded(content: bytes) -> str:
    """Return plain text as it stands, without a byte order mark.

    Raises:
        DocumentError: It is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError(
            f"not UTF-8: byte 0x{content[error.start]:02x} at position {error.start}; convert the file to UTF-8"
        ) from None


def _size(path: Path) -> int:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise DocumentError("not a regular file; write what it gives to one")
    return status.st_size


def _check_content(source: Path | bytes, kind: Kind, limits: Limits) -> None:
    try:
        size = len(source) if isinstance(source, bytes) else _size(source)
        check_size(size, limits)
        if isinstance(source, Path):
            with source.open("rb") as file:
                beginning = file.read(_MARK_WITHIN)
        else:
            beginning = source[:_MARK_WITHIN]
    except OSError as error:
        raise DocumentError(f"cannot be read: {error.strerror or error}; look at its permissions") from None
    if kind in ("pdf", "docx") and not beginning:
        raise DocumentError("empty, 0 bytes; copy it again")
    if kind == "pdf" and _PDF_MARK not in beginning:
        raise DocumentError("not a PDF, whatever its name says; give the file the ending of what it is")
    if kind == "docx" and beginning.startswith(_OLE_MARK):
        raise DocumentError("encrypted, or the .doc of an older Word; save it as .docx without a password")
    if kind == "docx" and not beginning.startswith(_ZIP_MARK):
        raise DocumentError("not a DOCX, whatever its name says; give the file the ending of what it is")
