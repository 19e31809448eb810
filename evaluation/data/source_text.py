"""The characters of a data file: UTF-8, and something in it; what is wrong is one line that an editor can jump to."""

from pathlib import Path


class DataError(Exception):
    """A file that cannot be used; the message is `FILE:LINE: what is wrong`, or `FILE: ...` of the file as a whole.

    Attributes:
        path: The file.
        line: Counted from 1, or None.
        problem: What is wrong, without the place.
    """

    def __init__(self, path: Path, line: int | None, problem: str) -> None:
        place = f"{path}" if line is None else f"{path}:{line}"
        super().__init__(f"{place}: {' '.join(problem.split())}")
        self.path = path
        self.line = line
        self.problem = problem


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
