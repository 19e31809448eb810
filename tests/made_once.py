"""Folders that take long to make, and that all processes of a test run may share."""

from collections.abc import Callable
from pathlib import Path

from filelock import FileLock


def made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """Let the first process that wants a folder make it, and return it.

    Args:
        folder: In the folder of the test run.
        make: Fills it; it is there, and may hold what a failed attempt has left.
    """
    made = folder.with_name(f"{folder.name}.made")
    with FileLock(f"{folder}.lock"):
        if not made.exists():
            folder.mkdir(exist_ok=True)
            make(folder)
            made.touch()
    return folder
