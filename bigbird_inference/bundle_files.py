"""The files of a bundle's folder: found without leaving it, compared with their hashes, and recognised later.

Whoever can write a bundle may write anything: links to elsewhere, pipes that never end, a file that changes after it
was checked. Nothing outside the folder is opened because a bundle asked for it, and only regular files are. A snapshot
in the cache of the Hugging Face hub is no exception: its files are links to contents that the cache keeps beside it.
The same holds for the folder of a checkpoint.

The weights are mapped into memory while they are served. Replacing or removing a file does them no harm, for the
mapping keeps what it maps; writing into it changes the model, and shortening it ends the process (SIGBUS) at the next
run.
"""

import hashlib
import os
import shlex
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from bigbird_inference.errors import BundleError


@dataclass(frozen=True, slots=True)
class FileState:
    """What identifies a file without reading it again.

    Attributes:
        path: The file.
        device: Number of the file system that it is on.
        inode: Its number there: another file in its place has another.
        bytes: Its size.
        modified_ns: When it was written to, in nanoseconds.
        sha256: The hash of its contents, as far as it is known to be that.
    """

    path: Path
    device: int
    inode: int
    bytes: int
    modified_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path, status: os.stat_result, sha256: str) -> "FileState":
        """Take note of a file's status."""
        return cls(path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, sha256)

    def now(self) -> "FileState | None":
        """Look again at what lies at the path; None if nothing does."""
        try:
            return FileState.of(self.path, self.path.stat(), self.sha256)
        except OSError:
            return None


def leads_out(folder: Path, target: Path) -> str | None:
    """Return what to say of a file that a link in a folder leads to, or None if it may be opened.

    Args:
        folder: A bundle or a checkpoint.
        target: Where one of its files is, without links.
    """
    own = folder.resolve()
    if any(target.is_relative_to(root) for root in (own, *_contents_in_hub_cache(own))):
        return None
    printable = str(target) if str(target).isprintable() else repr(str(target))
    return (
        f"leads out of the folder, to {printable}; copy the folder with files in place of links: "
        f"cp -rL {shlex.quote(str(folder))} NEW_FOLDER"
    )


def _contents_in_hub_cache(folder: Path) -> Iterator[Path]:
    """Yield where the hub's cache keeps the contents of a snapshot's files, if the folder is a snapshot or in one.

    models--<organisation>--<name>/snapshots/<revision>/<file> -> ../../blobs/<hash>
    """
    for snapshot in (folder, *folder.parents):
        snapshots = snapshot.parent
        if snapshots.name == "snapshots" and snapshots.parent.name.startswith("models--"):
            yield snapshots.parent / "blobs"


def read_small_file(folder: Path, name: str, most_bytes: int) -> bytes:
    """Return the contents of a file.

    Raises:
        BundleError: It is missing, too large, no regular file, lies outside the folder or cannot be read.
    """
    path = folder / name
    with _opened(folder, name) as file:
        try:
            content = file.read(most_bytes + 1)
        except OSError as error:
            raise BundleError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > most_bytes:
        raise BundleError(f"{path}: is larger than {most_bytes} bytes")
    return content


def check_file(folder: Path, name: str, size: int, sha256: str, recorded_in: str) -> FileState:
    """Compare a file's contents with its hash.

    Args:
        folder: The bundle.
        name: The file's name there.
        size: Its recorded size in bytes.
        sha256: Its recorded hash.
        recorded_in: The file that records them, for messages.

    Returns:
        What tells later whether it is still the same file.

    Raises:
        BundleError: It is missing, changed, no regular file, lies outside the folder or cannot be read.
    """
    path = folder / name
    with _opened(folder, name) as file:
        state = FileState.of(path, os.fstat(file.fileno()), sha256)
        changed = f"{path}: its contents do not match the hash in {recorded_in}"
        if state.bytes != size:
            raise BundleError(f"{changed}: it has {state.bytes} bytes, expected {size}")
        try:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise BundleError(f"{path}: cannot be read: {error.strerror}") from error
    if digest != sha256:
        raise BundleError(changed)
    return state


def same_contents(file: FileState) -> bool:
    """Tell whether a file still has the hash with which it was opened; False if it cannot be read."""
    try:
        with file.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
    except OSError:
        return False


def ensure_same_files(files: Iterable[FileState]) -> None:
    """Check that what was opened by name is what had been compared with its hash.

    Raises:
        BundleError: A file was changed, replaced or removed in the meantime.
    """
    for file in files:
        if file.now() != file:
            raise BundleError(f"{file.path}: was changed or replaced while the bundle was loaded; load it again")


def _opened(folder: Path, name: str) -> BufferedReader:
    """Open a regular file of the folder; opening a pipe or a device neither blocks nor does anything else."""
    path = folder / name
    try:
        target = path.resolve(strict=True)
        if (problem := leads_out(folder, target)) is not None:
            raise BundleError(f"{path}: {problem}")
        if not target.is_file():
            raise BundleError(f"{path}: missing" if target.is_dir() else f"{path}: is not a regular file")
        descriptor = os.open(target, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(f"{path}: missing") from None
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, no permission, a name that cannot be
        reason = error.strerror if isinstance(error, OSError) else error
        raise BundleError(f"{path}: cannot be read: {reason}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BundleError(f"{path}: is not a regular file")
    return os.fdopen(descriptor, "rb")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's contents in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
