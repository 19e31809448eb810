"""What a job has finished, on disk beside its output, in such an order that a kill at any moment loses nothing.

    OUT.job/job.json      what was asked for, where the next part of the input begins, and how far `rows.jsonl` is good
    OUT.job/rows.jsonl    rows of all parts that are done, in the output's order
    OUT.job/part.rows     rows of the part under way as they were finished, a line each (`_line`)
    OUT.job/lock          held while the job runs

A batch's rows are appended to `part.rows` in one write. When a part is done, its rows are appended to `rows.jsonl`,
then `job.json` is replaced, then `part.rows` is emptied. Whatever is found later: `rows.jsonl` is cut to what
`job.json` says, lines of `part.rows` that are torn are cut off, and those of an earlier part are passed over. Beside
the rows themselves the state takes about a kilobyte, however long the job is.
"""

import fcntl
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal

from bulk.errors import JobError
from bulk.output_file import OutputFile, folder_to_disk
from bulk.requests import ItemKey
from bulk.same_job import refuse_another
from bulk.sources.rows import Position

Order = Literal["input", "finished"]

FORMAT = 1
_JOB, _ROWS, _PART, _LOCK = "job.json", "rows.jsonl", "part.rows", "lock"


@dataclass(frozen=True, slots=True)
class Counts:
    """How far a job is.

    Attributes:
        rows: Rows of the output.
        failed: Those of them without an answer.
        tokens: Real tokens of all windows.
        padded_tokens: Tokens that were computed for them.
        input_bytes: What was read of the inputs.
    """

    rows: int = 0
    failed: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    input_bytes: int = 0

    def __add__(self, more: "Counts") -> "Counts":
        return Counts(*(getattr(self, name) + getattr(more, name) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class PartRow:
    """A finished row of the part under way.

    Attributes:
        key: Of its item.
        content: JSON, without the line's end.
        failed: Whether it has no answer.
        tokens: Real tokens of its windows.
        padded_tokens: Tokens that were computed for them.
    """

    key: ItemKey
    content: bytes
    failed: bool = False
    tokens: int = 0
    padded_tokens: int = 0

    @property
    def counts(self) -> Counts:
        """What it adds to those of a job."""
        return Counts(1, int(self.failed), self.tokens, self.padded_tokens)


@dataclass(frozen=True, slots=True)
class _Kept:
    """Where in `part.rows` a row's JSON stands, and what it adds to the counts."""

    start: int
    length: int
    counts: Counts

    @classmethod
    def of(cls, row: PartRow, line_end: int) -> "_Kept":
        return cls(line_end - 1 - len(row.content), len(row.content), row.counts)


@dataclass(slots=True)
class _State:
    asked: Mapping[str, Any]
    position: Position = field(default_factory=Position)
    rows_bytes: int = 0
    counts: Counts = field(default_factory=Counts)
    finished: bool = False
    replaces: bool = False


class JobFolder:
    """The state of one job, and its rows.

    Args:
        output: Where the rows go in the end, and the folder's place.
        order: Of the rows.
    """

    def __init__(self, output: OutputFile, order: Order) -> None:
        self.output = output
        self.folder = output.job_folder
        self._order = order
        self._state = _State({})
        self._lock: int | None = None
        self._part: BinaryIO | None = None
        self._known: dict[ItemKey, _Kept] = {}

    @property
    def position(self) -> Position:
        """Where the next part begins."""
        return self._state.position

    @property
    def counts_so_far(self) -> Counts:
        """Of the parts that are done, and of the rows of the one under way, but for its input."""
        return sum((kept.counts for kept in self._known.values()), self._state.counts)

    @property
    def finished(self) -> bool:
        """Whether all parts are done."""
        return self._state.finished

    @property
    def begun(self) -> bool:
        """Whether anything of it was done by an earlier run."""
        return self._state.position != Position() or bool(self._known) or self._state.finished

    @property
    def answered(self) -> frozenset[ItemKey]:
        """Items of the part under way that have their rows."""
        return frozenset(self._known)

    @property
    def rows_file(self) -> Path:
        """The rows of all parts that are done."""
        return self.folder / _ROWS

    def __enter__(self) -> "JobFolder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._part is not None:
            self._part.close()
        if self._lock is not None:
            os.close(self._lock)

    def open(self, asked: Mapping[str, Any], *, restart: bool) -> None:
        """Begin the job, or go on with it.

        Args:
            asked: Everything that the rows depend on, by name; JSON values.
            restart: Whether what an earlier run left is deleted.

        Raises:
            JobError: It has rows of something else, runs already, or the output is there and is not a job's.
        """
        begun = (self.folder / _JOB).exists()
        if self.output.exists() and not begun and not restart:
            raise JobError(f"{self.output} is there already; name another file, or replace it with --restart")
        try:
            self.folder.mkdir(exist_ok=True)
            self._lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise JobError(f"{self.folder}: cannot be written: {error.strerror}; name another --output") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise JobError(f"{self.output}: another process works on this job; wait for it, or end it") from None
        # Another process may have begun and ended it before the lock was free.
        begun = (self.folder / _JOB).exists()
        asked = json.loads(json.dumps(asked))
        if restart:
            for name in (_JOB, _ROWS, _PART):
                (self.folder / name).unlink(missing_ok=True)
        self._state = _State(asked, replaces=restart) if restart or not begun else self._read_state()
        self._clean_up()
        if self.begun:
            refuse_another(self.output.name, self._state.asked, asked)
        else:  # a mended file or command begins it anew: no row would be lost
            self._state.asked = asked
            self._write_state()

    def _read_state(self) -> _State:
        path = self.folder / _JOB
        try:
            stored = json.loads(path.read_bytes())
            if stored.pop("format") != FORMAT:
                raise ValueError("another version wrote it")
            position, counts = Position(**stored.pop("position")), Counts(**stored.pop("counts"))
            return _State(position=position, counts=counts, **stored)
        except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
            raise JobError(f"{path}: cannot be read: {error}; begin again with --restart") from error

    def _write_state(self) -> None:
        new = self.folder / f"{_JOB}.new"
        with new.open("wb") as file:
            file.write(json.dumps({"format": FORMAT, **asdict(self._state)}, indent=1).encode())
            _to_disk(file)
        new.replace(self.folder / _JOB)
        folder_to_disk(self.folder)

    def _clean_up(self) -> None:
        """Cut off what was being written when the job was killed."""
        if self._state.finished:
            return
        with self.rows_file.open("ab") as rows:
            if rows.tell() < self._state.rows_bytes:
                raise JobError(f"{self.rows_file}: has lost rows that were written; begin again with --restart")
            rows.truncate(self._state.rows_bytes)
        path = self.folder / _PART
        path.touch()
        good = 0
        with path.open("rb") as file:
            for line in file:
                row = _parse(line)
                if row is None:
                    break
                good += len(line)
                if row.key.row >= self._state.position.row:
                    self._known[row.key] = _Kept.of(row, good)
        self._part = path.open("r+b", buffering=0)
        self._part.truncate(good)
        self._part.seek(good)

    def append(self, rows: Iterable[PartRow]) -> None:
        """Keep finished rows of the part under way; from here on they survive a kill."""
        assert self._part is not None
        offset = self._part.tell()
        content = bytearray()
        for row in rows:
            content += _line(row)
            self._known[row.key] = _Kept.of(row, offset + len(content))
        view = memoryview(content)
        while view:
            view = view[self._part.write(view) :]

    def rows_of_part(self) -> Iterator[bytes]:
        """Yield the rows of the part under way in the order of the input, without their lines' ends."""
        with (self.folder / _PART).open("rb") as part:
            for _, kept in sorted(self._known.items()):
                part.seek(kept.start)
                yield part.read(kept.length)

    def finish_part(self, after: Position, input_bytes: int) -> None:
        """Put the part's rows behind those of the parts before it.

        Args:
            after: Where the next one begins.
            input_bytes: What this one was of the inputs.
        """
        assert self._part is not None
        with self.rows_file.open("ab") as rows, (self.folder / _PART).open("rb") as part:
            for kept in self._in_order():
                part.seek(kept.start)
                rows.write(part.read(kept.length) + b"\n")
            _to_disk(rows)
            self._state.rows_bytes = rows.tell()
        self._state.position = after
        self._state.counts = self.counts_so_far + Counts(input_bytes=input_bytes)
        self._write_state()
        self._known.clear()
        self._part.seek(0)
        self._part.truncate()

    def _in_order(self) -> Sequence[_Kept]:
        if self._order == "finished":
            return sorted(self._known.values(), key=lambda kept: kept.start)
        return [self._known[key] for key in sorted(self._known)]

    def finish(self) -> None:
        """Record that there is no further part."""
        self._state.finished = True
        self._write_state()

    def place(self, made: Path) -> None:
        """Put a file, which is in the folder, in the output's place.

        Raises:
            JobError: Somebody has put another file there since the job began.
        """
        if self.output.exists() and not self._state.replaces:
            raise JobError(f"{self.output} has appeared since the job began; move it away, and run the command again")
        if not self._state.replaces:
            self._state.replaces = True  # killed behind this, the next run finds the job's own file there
            self._write_state()
        (self.folder / _PART).unlink(missing_ok=True)  # first: a job whose rows are in place is not come back to
        self.output.put(made)
        self.rows_file.unlink(missing_ok=True)


def _line(row: PartRow) -> bytes:
    """Return a row as `part.rows` holds it: CRC-32, row, question, whether it failed, tokens, padded tokens, JSON."""
    numbers = b"%d %d %d %d %d " % (row.key.row, row.key.question, row.failed, row.tokens, row.padded_tokens)
    checked = numbers + row.content
    return b"%08x %s\n" % (zlib.crc32(checked), checked)


def _parse(line: bytes) -> PartRow | None:
    """Return the row of a line, or None if it was not written whole."""
    checksum, _, checked = line.rstrip(b"\n").partition(b" ")
    try:
        if not line.endswith(b"\n") or int(checksum, 16) != zlib.crc32(checked):
            return None
    except ValueError:
        return None
    *numbers, content = checked.split(b" ", 5)
    row, question, failed, tokens, padded_tokens = map(int, numbers)
    return PartRow(ItemKey(row, question), content, bool(failed), tokens, padded_tokens)


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
