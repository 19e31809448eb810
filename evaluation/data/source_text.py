"""The characters of a data file, and what is wrong with it: every mistake is a line that an editor can jump to."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

_MOST_TOLD = 20
_LINE_END = re.compile(rb"\r\n?|\n")


class DataError(Exception):
    """A file that cannot be used: `FILE:LINE: what is wrong`, or `FILE: ...` of the file as a whole.

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


class SeveralMistakes(DataError):
    """More than one: a line that counts them, and below it the first of them, a line each.

    Args:
        path: The file.
        mistakes: Lines and problems.
    """

    def __init__(self, path: Path, mistakes: Sequence[tuple[int | None, str]]) -> None:
        beyond = "" if len(mistakes) <= _MOST_TOLD else f", the first {_MOST_TOLD} of them"
        super().__init__(path, None, f"{len(mistakes)} mistakes{beyond}:")
        self._each = [str(DataError(path, line, problem)) for line, problem in mistakes[:_MOST_TOLD]]

    def __str__(self) -> str:
        """Return all lines."""
        return "\n".join([super().__str__(), *self._each])


class Mistakes:
    """What is wrong with a file, collected in a `with` block of this object and raised at its end.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._found: list[tuple[int | None, str]] = []

    @property
    def found(self) -> bool:
        """Whether there is any so far."""
        return bool(self._found)

    def add(self, line: int | None, problem: str) -> None:
        """Note a mistake."""
        self._found.append((line, problem))

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Note the mistake that ends this block, and go on after it."""
        try:
            yield
        except DataError as error:
            self.add(error.line, error.problem)

    def __enter__(self) -> Self:
        """Begin to collect."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Raise what was collected, and with it the mistake that ended the block."""
        if isinstance(error, DataError):
            self.add(error.line, error.problem)
        elif error is not None:
            return
        found = sorted(self._found, key=lambda mistake: mistake[0] or 0)
        if len(found) > 1:
            raise SeveralMistakes(self.path, found) from None
        if found:
            raise DataError(self.path, *found[0]) from None


def unknown_label(label: str, known: Sequence[str]) -> str:
    """Return what is wrong with a label that the model does not have."""
    return f"unknown label {label!r}; the model's labels are: {', '.join(known)}"


def read_source(path: Path) -> str:
    r"""Return a file's text without a byte order mark; every line ends with `\n`, however it ends in the file.

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
        line = len(_LINE_END.findall(content, 0, error.start)) + 1
        problem = f"not UTF-8: byte 0x{content[error.start]:02x} at position {error.start} of the file"
        raise DataError(path, line, problem) from None
    if not text.strip():
        raise DataError(path, None, "the file is empty")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def has_json_lines(path: Path) -> bool:
    """Tell by its ending whether a file holds a JSON value on each line."""
    return path.suffix.lower() == ".jsonl"
