"""Whether a job would read what it writes: its output, its state, its copies."""

import os
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from bulk.errors import JobError
from bulk.object_store import is_stored


def refuse_own_files(option: str, places: Iterable[str | Path], inputs: Iterable[str]) -> None:
    """Check that nothing that a job writes is one of its inputs.

    Args:
        option: Names what is written.
        places: Files that the job writes, or objects.
        inputs: Files, folders and patterns, or those of a store.

    Raises:
        JobError: Something is.
    """
    for given in inputs:
        if any(would_be_input(place, given) for place in places):
            raise JobError(f"{option}: its files would be part of the input {given}; name another place")


def would_be_input(place: str | Path, given: str) -> bool:
    """Tell whether a file stands where an input is, or where a pattern looks; of a folder, whether it is in there."""
    if is_stored(str(place)) or is_stored(given):
        return is_stored(str(place)) == is_stored(given) and _fits(str(place), given.rstrip("/"))
    if Path(given).is_dir():
        return Path(place).resolve().is_relative_to(Path(given).resolve())
    same = Path(place).exists() and Path(given).exists() and Path(place).samefile(given)
    return same or _fits(os.path.abspath(place), os.path.abspath(given))


def _fits(place: str, pattern: str) -> bool:
    return place == pattern or (fnmatch(place, pattern) and ("**" in pattern or place.count("/") == pattern.count("/")))
