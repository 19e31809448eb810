"""Where the rows of a job go in the end: a file, which is renamed into its place, or an object in a store."""

import os
from pathlib import Path

from bulk.errors import JobError
from bulk.object_store import is_stored, look_up, upload
from bulk.pyarrow_package import pyarrow_parquet

PARQUET, JSON_LINES = ".parquet", ".jsonl"


class OutputFile:
    """The output of a job.

    Args:
        name: A file, or an object's name.

    Attributes:
        stored: Whether it is an object.
        job_folder: Where the job's state is: beside a file; for an object in the working folder, for a store can
            neither append nor lock.

    Raises:
        JobError: It cannot be an output.
    """

    def __init__(self, name: str | Path) -> None:
        self.name = str(name)
        self.stored = is_stored(self.name)
        self._path = Path(self.name)
        own = self.name.replace("://", "-").replace("/", "-") if self.stored else self._path.name
        self.job_folder = Path(f"{own}.job") if self.stored else self._path.with_name(f"{own}.job")

    def __str__(self) -> str:
        return self.name

    @property
    def is_parquet(self) -> bool:
        """Whether rows are written as Parquet, and not as JSON lines."""
        return self._path.suffix.lower() == PARQUET

    def check(self) -> None:
        """Refuse what no rows can be written to, as far as that is seen.

        Raises:
            JobError: Why not.
        """
        if self._path.suffix.lower() not in (PARQUET, JSON_LINES):
            raise JobError(f"{self}: the ending of --output is neither {JSON_LINES} nor {PARQUET}")
        if not self.stored:
            if self._path.is_dir():
                raise JobError(f"{self}: is a folder; name a file")
            if not self._path.absolute().parent.is_dir():
                raise JobError(f"{self}: there is no folder {self._path.parent}; make it first")
        if self.is_parquet:
            pyarrow_parquet()

    def exists(self) -> bool:
        """Tell whether there is something in its place."""
        return look_up(self.name) is not None if self.stored else self._path.exists()

    def put(self, made: Path) -> None:
        """Put a file in its place; it is there as a whole or not at all."""
        if self.stored:
            upload(made, self.name)
            made.unlink()
        else:
            made.replace(self._path)
            folder_to_disk(self._path.parent)


def folder_to_disk(folder: Path) -> None:
    """Have what was renamed in a folder survive a power failure, where the file system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)
