"""Files in object stores, `s3://bucket/key` and `gs://bucket/key`: through fsspec, which is imported here alone.

Credentials are found by the stores' own libraries (variables, profiles, roles of the machine); none is taken from a
name or an option, and none is printed. Reads ask for ranges of an object, so a job goes on in the middle of one. An
object that is written appears when it is complete.

What fails for a single object (it is not there, or not for these credentials) is an `OSError`, as with files
here. Everything else, such as a store that does not answer, ends the job: it would be the same for every row.
"""

import contextlib
import io
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from bigbird_inference.extras import install_command
from bulk.errors import JobError

SCHEMES = ("s3", "gs")
_READ_AT_ONCE = 4 * 2**20
# Of each attempt. s3fs makes five times as many as it is told, gcsfs six; a store that takes a connection and never
# answers ends the job after some minutes.
_CONNECT_SECONDS, _READ_SECONDS, _ATTEMPTS = 10, 20, 3
# They log every attempt with a traceback; here one line says how the last one ended.
_TALKATIVE = ("gcsfs", "google.auth")


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """What a store has under a name.

    Attributes:
        name: With the scheme.
        folder: Whether it is the beginning of other objects' names.
        bytes: Its size.
        version: Another if the contents are.
    """

    name: str
    folder: bool = False
    bytes: int = 0
    version: str = ""

    @property
    def last_name(self) -> str:
        """The part of the name behind the last slash."""
        return self.name.rstrip("/").rpartition("/")[2]


def is_stored(name: str) -> bool:
    """Tell whether a name is an object's and not a file's.

    Raises:
        JobError: It is of a store that is not supported, or has credentials in it.
    """
    scheme, sign, rest = name.partition("://")
    if not sign or "/" in scheme:
        return False
    bucket = rest.partition("/")[0]
    if "@" in bucket:
        raise JobError(
            f"{scheme}://...: names of objects hold no credentials; give them as the store's own tools take them"
        )
    if scheme not in SCHEMES:
        raise JobError(f"{name}: only {' and '.join(f'{own}://' for own in SCHEMES)} are supported, and files")
    if not bucket:
        raise JobError(f"{name}: names no bucket; it is like {scheme}://bucket/key")
    return True


def look_up(name: str) -> StoredEntry | None:
    """Return what is under a name, or None."""
    with _errors_explained(name, "cannot be looked up"):
        store = _store(name)
        try:
            return _entry(name, store.info(name))
        except FileNotFoundError:
            return None


def entries(folder: str) -> list[StoredEntry]:
    """Return what is in a folder, in the order of the names."""
    with _errors_explained(folder, "cannot be listed"):
        found = (_entry(folder, one) for one in _store(folder).ls(folder, detail=True))
        own = urlsplit(folder)._replace(query="", fragment="").geturl().rstrip("/")
        return sorted((one for one in found if one.name.rstrip("/") != own), key=lambda one: one.last_name)


def matching(pattern: str) -> list[StoredEntry]:
    """Return the objects that a pattern fits, in the order of the names."""
    with _errors_explained(pattern, "cannot be listed"):
        found = _store(pattern).glob(pattern, detail=True).values()
        return sorted((own for one in found if not (own := _entry(pattern, one)).folder), key=lambda one: one.name)


def open_stored(name: str, offset: int = 0) -> BinaryIO:
    """Open an object for reading from an offset on.

    Raises:
        OSError: It is not there, or not for these credentials; also from what is returned.
        JobError: The store cannot be asked; also from what is returned.
    """
    with _errors_explained(name, "cannot be read", of_one=True):
        stream = _store(name).open(name, "rb", block_size=_READ_AT_ONCE, cache_type="readahead")
        stream.seek(offset)
        return io.BufferedReader(_Ranges(name, stream), _READ_AT_ONCE)


def read_stored(name: str, most_bytes: int) -> bytes:
    """Return an object's contents, but at most so many bytes of it."""
    with open_stored(name) as stream:
        return stream.read(most_bytes)


def download(name: str, path: Path) -> None:
    """Copy an object into a file."""
    with _errors_explained(name, "cannot be read"):
        _store(name).get_file(name, str(path))


def upload(path: Path, name: str) -> None:
    """Copy a file into an object, which appears when it is complete."""
    with _errors_explained(name, "cannot be written"):
        _store(name).put_file(str(path), name)


def write_stored(name: str, content: bytes) -> None:
    """Make an object of these contents, which appears when it is complete."""
    with _errors_explained(name, "cannot be written"):
        _store(name).pipe_file(name, content)


def delete_stored(names: Sequence[str]) -> None:
    """Delete objects."""
    if names:
        with _errors_explained(names[0], "cannot be deleted"):
            _store(names[0]).rm(list(names))


class _Ranges(io.RawIOBase):
    """An object as fsspec reads it, with errors of this module's kinds."""

    def __init__(self, name: str, stream: Any) -> None:
        self._name = name
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())

    def readinto(self, buffer: Any, /) -> int:
        with _errors_explained(self._name, "cannot be read", of_one=True):
            return int(self._stream.readinto(buffer))

    def close(self) -> None:
        self._stream.close()
        super().close()


def _store(name: str) -> Any:
    """Return fsspec's file system of a name's scheme."""
    is_stored(name)
    scheme = name.partition("://")[0]
    # Read by gcsfs when it is imported: whether to ask a second service, by gRPC, what kind of bucket each is.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    for library in _TALKATIVE:
        logging.getLogger(library).setLevel(logging.CRITICAL)
    try:
        import fsspec

        options: dict[str, Any] = {"use_listings_cache": False}
        if scheme == "s3":
            retries = {"max_attempts": _ATTEMPTS, "mode": "standard"}
            options["config_kwargs"] = {
                "connect_timeout": _CONNECT_SECONDS,
                "read_timeout": _READ_SECONDS,
                "retries": retries,
            }
        else:
            from aiohttp import ClientTimeout

            # Left alone, gcsfs waits for ever.
            options["requests_timeout"] = ClientTimeout(
                total=None, sock_connect=_CONNECT_SECONDS, sock_read=_READ_SECONDS
            )
        return fsspec.filesystem(scheme, **options)
    except ImportError as error:
        raise JobError(f"{scheme}:// needs more packages: {install_command(scheme)}") from error


def _entry(asked: str, info: dict[str, Any]) -> StoredEntry:
    scheme = asked.partition("://")[0]
    version = next((str(info[key]) for key in ("ETag", "etag", "generation", "LastModified") if info.get(key)), "")
    path = str(info["name"]).removeprefix(f"{scheme}://")
    return StoredEntry(f"{scheme}://{path}", info["type"] == "directory", int(info.get("size") or 0), version)


@contextlib.contextmanager
def _errors_explained(name: str, failure: str, *, of_one: bool = False) -> Iterator[None]:
    """Turn errors of the stores' libraries, which share no base class, into one line.

    Args:
        name: Of the object.
        failure: What could not be done, for example "cannot be read".
        of_one: Whether it is an `OSError` if the object is not there or not for these credentials.
    """
    try:
        yield
    except JobError:
        raise
    except FileNotFoundError as error:
        if of_one:
            raise FileNotFoundError(2, "the store has no such object", name) from error
        raise JobError(f"{name}: {failure}: the store has no such object or bucket") from error
    except Exception as error:
        said = _in_one_line(error)
        if _refuses(error):
            if of_one:
                raise PermissionError(13, "the store refuses it to these credentials", name) from error
            raise JobError(f"{name}: {failure}: the store refuses it to these credentials ({said})") from error
        raise JobError(
            f"{name}: {failure}: {said}; see that the store can be reached from here and that credentials are set"
        ) from error


def _refuses(error: Exception) -> bool:
    """Tell whether a store knows who asks, and does not give it to them; gcsfs has no kind of error for that."""
    said = str(error)
    return isinstance(error, PermissionError) or said.startswith("Forbidden") or "Anonymous caller" in said


def _in_one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split()):.200}"
