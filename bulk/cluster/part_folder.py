"""The output of a job on a cluster: a folder of Parquet, a part for each range of the input.

    OUT/part-00000012.parquet   the rows of range 12, in order
    OUT/_job.json               what was asked for, and in the end how many parts there are; readers of Parquet pass
                                over names that begin with _
    OUT/_lock                   held while a command works on the job

A part appears as a whole or not at all, and says in its footer how many rows it has and where the input goes on behind
it. So the names of the parts are the state of the job, in a folder as well as in an object store.

A store has no locks that end with whoever holds them. There `_job.json` names the command that began last, and any
other ends before its next part.
"""

import contextlib
import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from bulk.errors import JobError
from bulk.job_folder import Counts
from bulk.object_store import delete_stored, entries, is_stored, look_up, open_stored, read_stored, write_stored
from bulk.output_file import folder_to_disk
from bulk.pyarrow_package import pyarrow_parquet
from bulk.same_job import refuse_another
from bulk.sources.rows import Position

FORMAT = 1
_JOB, _LOCK = "_job.json", "_lock"
_PART = re.compile(r"part-(\d{8,})\.parquet")
_MOST_JOB_BYTES = 64 * 2**20
_NOTES = "bigbird"
_NEW = ".new"
_READERS = 16


@dataclass(frozen=True, slots=True)
class PartNotes:
    """What a part says of itself.

    Attributes:
        counts: Of its rows.
        after: Where the input goes on behind it.
        runtime: What computed it.
    """

    counts: Counts
    after: Position
    runtime: str

    def as_metadata(self) -> dict[str, str]:
        """Return them as the footer of Parquet holds them."""
        return {_NOTES: json.dumps(asdict(self))}

    @classmethod
    def read(cls, content: BinaryIO) -> "PartNotes":
        """Return what a part's footer holds."""
        parquet, _ = pyarrow_parquet()
        stored = json.loads(parquet.read_schema(content).metadata[_NOTES.encode()])
        return cls(Counts(**stored["counts"]), Position(**stored["after"]), stored["runtime"])


class PartFolder:
    """The folder of one job.

    Args:
        name: The folder, or its name in an object store.

    Attributes:
        finished: Numbers of the parts that are there.
    """

    def __init__(self, name: str) -> None:
        self.name = name.rstrip("/")
        self.finished: set[int] = set()
        self._stored = is_stored(name)
        self._command = secrets.token_hex(8)
        self._lock: int | None = None
        self._made = False
        self._begun = False
        self._found: Sequence[str] = ()
        self._asked: Mapping[str, Any] = {}
        self._runtime: str | None = None
        self._parts: int | None = None
        self._to_delete: Sequence[str] = ()

    @property
    def complete(self) -> bool:
        """Whether every part is there that the input has."""
        return self._parts is not None and len(self.finished) == self._parts

    def __enter__(self) -> "PartFolder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._lock is None:
            return
        if self._made and not self._begun:
            with contextlib.suppress(OSError):
                (Path(self.name) / _LOCK).unlink()
                Path(self.name).rmdir()
        os.close(self._lock)
        self._lock = None

    def open(self, asked: Mapping[str, Any], *, restart: bool) -> None:
        """Look at what is there; none of it is changed before the first `put`.

        Args:
            asked: Everything that the rows depend on, by name; JSON values.
            restart: Whether what an earlier run left is to be deleted.

        Raises:
            JobError: It was begun with something else, another command works on it, or the folder is there and is not a
                job's.
        """
        asked = json.loads(json.dumps(asked))
        if not self._stored and _JOB in self._names():
            self.hold()
        names = self._found = self._names()
        if names and _JOB not in names:
            raise JobError(f"{self.name} is there already, and holds no job; name another --output")
        if restart or not names:
            self._asked = asked
            self._to_delete = [name for name in names if _PART.fullmatch(name)]
            return
        before = self._read_state()
        refuse_another(self.name, before["asked"], asked)
        self._asked, self._runtime, self._parts = before["asked"], before["runtime"], before["parts"]
        self.finished = {int(match[1]) for name in names if (match := _PART.fullmatch(name))}

    def hold(self) -> None:
        """Keep other commands away, as long as this process is there; nothing keeps them from a store.

        Raises:
            JobError: One works on the job already.
        """
        if self._stored or self._lock is not None:
            return
        folder = Path(self.name)
        try:
            self._made = not folder.exists()
            folder.mkdir(exist_ok=True)
            self._lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise JobError(f"{folder}: cannot be written: {error.strerror}; name another --output") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            self._lock = None
            raise JobError(f"{folder}: another process works on this job; wait for it, or end it") from None

    def unbroken(self) -> int:
        """Return how many parts are there from the first on without a gap."""
        number = 0
        while number in self.finished:
            number += 1
        return number

    def notes(self, numbers: Sequence[int]) -> Iterator[PartNotes]:
        """Yield what parts that are there say of themselves.

        Raises:
            JobError: One cannot be read.
        """
        with ThreadPoolExecutor(_READERS, "notes") as readers:
            yield from readers.map(self._notes_of, numbers)

    def put(self, number: int, content: bytes, runtime: str) -> None:
        """Keep a finished part.

        Args:
            number: Of its range.
            content: The whole file.
            runtime: What computed it.

        Raises:
            JobError: Other parts were computed by something else, whose numbers are others, or another command has
                begun with the job.
        """
        if self._runtime is None:
            self._runtime = runtime
        if runtime != self._runtime:
            raise JobError(
                f"{self.name}: part {number} was computed by {runtime}, and those before it by {self._runtime}: a "
                "machine is unlike the others; say what all have, with --device, --cpu-runtime and --cpu-precision"
            )
        self._take()
        self._write(part_name(number), content)
        self.finished.add(number)

    def finish(self) -> None:
        """Record that there is no further part.

        Raises:
            JobError: One is missing.
        """
        missing = set(range(max(self.finished, default=-1) + 1)) - self.finished
        if missing:
            raise JobError(f"{self.name}: {part_name(min(missing))} is missing; run the same command again to go on")
        self._take()
        self._parts = len(self.finished)
        self._write_state()

    def _names(self) -> list[str]:
        if self._stored:
            return [own.last_name for own in entries(self.name)] if look_up(self.name) is not None else []
        folder = Path(self.name)
        if folder.exists() and not folder.is_dir():
            raise JobError(f"{folder}: is a file; with --ray the output is a folder of Parquet: name another")
        if not folder.absolute().parent.is_dir():
            raise JobError(f"{folder}: there is no folder {folder.parent}; make it first")
        # Without what a kill has left of a file that was to appear.
        found = os.listdir(folder) if folder.exists() else []
        return [name for name in found if not name.endswith(_NEW) and name != _LOCK]

    def _take(self) -> None:
        """Make the folder this job's and delete what is not; once it is, check that it still is."""
        if self._begun:
            if self._stored and self._read_state()["command"] != self._command:
                raise JobError(f"{self.name}: another command has begun with this job, and goes on with it")
            return
        self.hold()
        if sorted(self._names()) != sorted(self._found):
            raise JobError(f"{self.name} has changed since the command began; run it again")
        self._begun = True
        self._delete(self._to_delete)
        if not self._stored:
            for left in Path(self.name).glob(f"_*{_NEW}"):
                left.unlink()
        self._write_state()

    def _notes_of(self, number: int) -> PartNotes:
        name = self._path(part_name(number))
        try:
            with open_stored(name) if self._stored else open(name, "rb") as content:
                return PartNotes.read(content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise JobError(f"{name}: cannot be read: {error}; delete it to have it computed again") from error

    def _read_state(self) -> dict[str, Any]:
        name = self._path(_JOB)
        try:
            stored = read_stored(name, _MOST_JOB_BYTES) if self._stored else Path(name).read_bytes()
            state: dict[str, Any] = json.loads(stored)
            if state["format"] != FORMAT:
                raise ValueError("another version wrote it")
            return {name: state[name] for name in ("asked", "runtime", "parts", "command")}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise JobError(f"{name}: cannot be read: {error}; begin again with --restart") from error

    def _write_state(self) -> None:
        state = {
            "format": FORMAT,
            "asked": self._asked,
            "runtime": self._runtime,
            "parts": self._parts,
            "command": self._command,
        }
        self._write(_JOB, json.dumps(state, indent=1).encode())

    def _path(self, name: str) -> str:
        return f"{self.name}/{name}"

    def _write(self, name: str, content: bytes) -> None:
        """Write a file that appears as a whole or not at all."""
        if self._stored:
            write_stored(self._path(name), content)
            return
        folder = Path(self.name)
        new = folder / f"_{name}{_NEW}"
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(folder / name)
        folder_to_disk(folder)

    def _delete(self, names: Sequence[str]) -> None:
        if self._stored:
            delete_stored([self._path(name) for name in names])
        else:
            for name in names:
                Path(self._path(name)).unlink(missing_ok=True)


def part_name(number: int) -> str:
    """Return the name of a range's part; their order is the input's."""
    return f"part-{number:08d}.parquet"
