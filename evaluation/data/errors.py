"""What is wrong with a data file, as one line that an editor can jump to."""

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
