"""How a bundle comes to its place: whole or not at all, whatever ends the process and whoever else exports there.

A bundle is built in a hidden folder beside its destination, written through to the disk, and then takes its place in
one step of the file system. To replace another bundle the two change places, so there is a complete one at every
moment. A process that is killed leaves its hidden folder behind; the next export to the same place removes it. It tells
the folders of the dead from those of the living by a lock, which ends with the process that holds it.
"""

import ctypes
import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bigbird_inference.manifest import MANIFEST_FILE
from model_export.errors import ExportError

# linux/fs.h
_NOREPLACE, _EXCHANGE = 1, 2
_AT_FDCWD = -100
# What a file system or a kernel says that cannot do these.
_CANNOT = (errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.ENOTSUP)
_RETRIES = 5


def check_destination(output: Path, *, overwrite: bool) -> None:
    """Check that a bundle may be put there.

    Raises:
        ExportError: Something is there that may not be replaced.
    """
    if not os.path.lexists(output) or _is_empty_folder(output):
        return
    if not overwrite:
        raise ExportError(f"{output}: exists already; remove it or give --overwrite")
    if output.is_symlink() or not (output / MANIFEST_FILE).is_file():
        raise ExportError(f"{output}: is not a bundle and is not replaced; remove it or export somewhere else")


def _is_empty_folder(path: Path) -> bool:
    """Tell whether a folder is there, and nothing in it: somebody made it for the bundle."""
    return path.is_dir() and not path.is_symlink() and not any(path.iterdir())


@contextmanager
def hidden_folder(output: Path) -> Iterator[Path]:
    """Make a folder to build a bundle in; what is left of it in the end is removed, and the parents that it needed.

    Args:
        output: Where the bundle will be put.
    """
    missing_parents = [parent for parent in output.parents if not parent.exists()]
    output.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(output)
    folder, lock = _locked_folder(output)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
        for parent in missing_parents:
            with suppress(OSError):  # it is not empty
                parent.rmdir()


def put_in_place(building: Path, output: Path, *, overwrite: bool) -> None:
    """Let a finished bundle take its place, and an older one the hidden folder's, where it is removed.

    Args:
        building: The bundle, in its hidden folder.
        output: Where it belongs.
        overwrite: Whether a bundle that is there by now may be replaced.

    Raises:
        ExportError: Something is there that may not be replaced.
    """
    building.chmod(0o755)
    for path in (*building.iterdir(), building):
        _write_through(path)
    for _ in range(_RETRIES):
        with suppress(OSError):  # nothing is there, or more than an empty folder
            output.rmdir()
        check_destination(output, overwrite=overwrite)
        try:
            if output.exists():
                _exchange(building, output)
            else:
                _move(building, output)
        except (FileNotFoundError, FileExistsError):
            continue  # it came or went in this moment: another export of the same bundle
        _write_through(output.parent)
        return
    raise ExportError(f"{output}: others are exporting to the same place; the bundle there was left as it is")


def remove_leftovers(output: Path) -> None:
    """Remove what killed exports to the same place left; bring a bundle back that one of them had put aside."""
    hidden = re.compile(rf"\.{re.escape(output.name)}\.(building|replaced)-[a-z0-9_]{{8}}")
    for folder in sorted(output.parent.iterdir()):
        kind = hidden.fullmatch(folder.name)
        lock = _try_lock(folder) if kind else None
        if kind is None or lock is None:
            continue
        if kind[1] == "replaced" and not os.path.lexists(output):
            folder.rename(output)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked_folder(output: Path) -> tuple[Path, int]:
    """Make a hidden folder, and hold its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f".{output.name}.building-", dir=output.parent))
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        with suppress(OSError):  # a file system without locks: then nobody removes anything there
            fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder, lock
        os.close(lock)  # removed as a leftover, in the moment before it was locked


def _try_lock(folder: Path) -> int | None:
    """Take a folder's lock, or return None if a living process has it."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _write_through(path: Path) -> None:
    """Let a file's contents, or a folder's names, reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchange(building: Path, output: Path) -> None:
    """Let two folders change places in one step; where that cannot be, the old one steps aside for a moment."""
    if _renameat2(building, output, _EXCHANGE):
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{output.name}.replaced-", dir=output.parent))
    output.rename(aside)
    try:
        building.rename(output)
    except BaseException:
        aside.rename(output)
        raise
    aside.rename(building)


def _move(building: Path, output: Path) -> None:
    """Rename a folder to a name that is free.

    Raises:
        FileExistsError: It is not.
    """
    if _renameat2(building, output, _NOREPLACE):
        return
    try:
        building.rename(output)
    except OSError as error:
        if error.errno == errno.ENOTEMPTY:
            raise FileExistsError(*error.args) from error
        raise


def _renameat2(source: Path, target: Path, flag: int) -> bool:
    """Call renameat2(2); return False where there is no such thing.

    Raises:
        OSError: It failed.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "renameat2"):
        return False
    status = library.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flag)
    number = ctypes.get_errno()
    if status == 0 or number in _CANNOT:
        return bool(status == 0)
    raise OSError(number, os.strerror(number), str(source), None, str(target))
