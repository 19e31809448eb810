"""The characters of a data file: UTF-8, and something in it."""

from pathlib import Path

from evaluation.data.errors import DataError


def read_source(path: Path) -> str:
    """Return a file's text with line breaks as they are, without a byte order mark.

    Raises:
        DataError: It cannot be read, is not UTF-8, or holds nothing but whitespace.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(path, None, error.strerror or str(error)) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = f"not UTF-8: byte 0x{content[error.start]:02x} at position {error.start} of the file"
        raise DataError(path, line, problem) from None
    if not text.strip():
        raise DataError(path, None, "the file is empty")
    return text
