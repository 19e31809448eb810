"""Standard input, which nothing can seek in: what is piped in again is compared with what was read the first time."""

import errno
import hashlib
import os
import select
import sys
import weakref
from io import BufferedReader, BytesIO, RawIOBase
from types import TracebackType
from typing import Any, BinaryIO

from bulk.errors import JobError
from bulk.sources.rows import ByteLines

_READ_AT_ONCE = 2**16


class StandardInput:
    """Standard input; a thread that waits for more of it is released when the block that uses it ends."""

    def __init__(self) -> None:
        self._ended, self._end = os.pipe()
        # Not closed with the block: somebody may still be waiting on it.
        weakref.finalize(self, os.close, self._ended)

    def __enter__(self) -> "StandardInput":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._end)

    def open(self) -> BinaryIO:
        """Return the stream.

        Raises:
            JobError: It is closed.
        """
        if sys.stdin is None:
            raise JobError("standard input is closed; pipe something in, or name a file")
        try:
            return BufferedReader(_Waiting(sys.stdin.fileno(), self), _READ_AT_ONCE)
        except OSError:  # it has no descriptor, for example in a test
            return sys.stdin.buffer

    def wait(self, descriptor: int) -> None:
        """Return when there is something to read.

        Raises:
            OSError: The block has ended.
        """
        waiting = select.poll()
        for own in (descriptor, self._ended):
            waiting.register(own, select.POLLIN)
        if self._ended in dict(waiting.poll()):
            raise OSError(errno.ECANCELED, "the job was ended")


class _Waiting(RawIOBase):
    """A descriptor, read when there is something to read."""

    def __init__(self, descriptor: int, standard_input: StandardInput) -> None:
        self._descriptor = descriptor
        self._standard_input = standard_input

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        self._standard_input.wait(self._descriptor)
        content = os.read(self._descriptor, len(buffer))
        buffer[: len(content)] = content
        return len(content)


class HashedStream:
    """A stream, with the digest of all that was read of it.

    Args:
        stream: Standard input.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()

    def readline(self, limit: int = -1, /) -> bytes:
        """Return bytes up to and with the next line feed, as `ByteLines` do."""
        content = self._stream.readline(limit)
        self._hash.update(content)
        return content

    def digest(self) -> str:
        """Return the SHA-256 of what was read."""
        return self._hash.hexdigest()

    def skip(self, size: int, digest: str) -> ByteLines:
        """Read so many bytes and compare their digest; return the beginning: of what was skipped, or of the stream.

        Raises:
            JobError: They are not what was read the first time.
        """
        if not size:
            return self
        beginning, left = b"", size
        while left > 0 and (content := self._stream.read(min(left, 2**20))):
            self._hash.update(content)
            left -= len(content)
            beginning = beginning or content
        if self.digest() != digest:
            raise JobError(
                "it does not begin with what was read before the job was stopped; pipe in the same again, or begin "
                "again with --restart"
            )
        return BytesIO(beginning)
