"""How long `bigbird batch` takes to go on after a kill, and how much its state takes beside the rows.

    python -m benchmarks.batch_going_on BUNDLE           a million rows; a table in benchmarks/results
    python -m benchmarks.batch_going_on BUNDLE --quick   60,000

BUNDLE is one whose task needs no more than a text, for example of classification or entities. Each kind of input has
the same texts of a few words. Its job is killed with SIGKILL when so much is done that the last part of it is under
way, and the same command is run again. What is timed there is the process from its start to the first new row on disk:
beside it stands what the first row of the same job took in the first place, which is Python, the model and a part's
first batch. At its end every row must be in the output once.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.report import QUICK_RESULTS, RESULTS, Row, write_report
from bigbird_inference.bundle import read_manifest
from bigbird_inference.tasks.registry import TASKS
from bulk.requests import document_field

_ROWS, _QUICK_ROWS = 1_000_000, 60_000
_DONE = 0.985
_WORDS = ["The", "survey", "of", "the", "northern", "bridges", "ended", "in", "May"]
_POLL_SECONDS = 0.005

NOTES = (
    "first row: from the command's start to its first row on disk; of the job when it was begun, and when it went on "
    "after a kill.",
    "state: all files of the job's folder but the rows themselves, right after the kill.",
)


def write_json_lines(place: Path, texts: Sequence[str], field: str) -> None:
    """Write an object a line."""
    with place.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({field: text}) + "\n" for text in texts)


def write_csv(place: Path, texts: Sequence[str], field: str) -> None:
    """Write a table of one column."""
    with place.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in (field, *texts))


def write_parquet(place: Path, texts: Sequence[str], field: str) -> None:
    """Write one row group, which is the slowest to go on in."""
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({field: list(texts)}), place, row_group_size=len(texts))


def write_folder(place: Path, texts: Sequence[str], field: str) -> None:
    """Write a file each, a thousand to a folder."""
    for number, text in enumerate(texts):
        if number % 1000 == 0:
            (folder := place / f"{number // 1000:06d}").mkdir(parents=True)
        (folder / f"{number:08d}.txt").write_text(text, encoding="utf-8")


INPUTS: Mapping[str, tuple[str, Callable[[Path, Sequence[str], str], None]]] = {
    "JSON lines": ("in.jsonl", write_json_lines),
    "CSV": ("in.csv", write_csv),
    "Parquet": ("in.parquet", write_parquet),
    "standard input": ("piped", write_json_lines),
    "folder": ("in", write_folder),
}


class BatchJob:
    """A job of `bigbird batch` in a process of its own.

    Args:
        bundle: Answers.
        given: The input; a file without an ending is piped in.
    """

    def __init__(self, bundle: Path, given: Path) -> None:
        self.output = given.with_name(f"{given.name}.out.jsonl")
        self.state = given.with_name(f"{self.output.name}.job")
        self._piped = given if not given.suffix and given.is_file() else None
        self._command = [sys.executable, "-m", "bigbird_cli", "batch", "-" if self._piped else str(given)]
        self._command += ["--model", str(bundle), "--output", str(self.output)]

    def start(self) -> "subprocess.Popen[bytes]":
        """Begin the job, or go on with it."""
        if self._piped is None:
            return subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with self._piped.open("rb") as piped:
            return subprocess.Popen(self._command, stdin=piped, stderr=subprocess.DEVNULL)

    def sizes(self) -> dict[str, int]:
        """Return what there is of the job, in bytes, by the names of its files."""
        found = self.state.iterdir() if self.state.is_dir() else []
        return {path.name: path.stat().st_size for path in found if not path.name.endswith(".new")}

    def seconds_to_first_row(self) -> tuple[float, "subprocess.Popen[bytes]"]:
        """Run the job; return the seconds until it keeps its first new row."""
        before, begun = self.sizes().get("part.rows", 0), time.perf_counter()
        process = self.start()
        while self.sizes().get("part.rows", 0) <= before:
            if process.poll() is not None:
                raise SystemExit(f"the job has ended with {process.returncode} before its first row")
            time.sleep(_POLL_SECONDS)
        return time.perf_counter() - begun, process

    def kill_when_done(self, process: "subprocess.Popen[bytes]", rows: int) -> None:
        """Kill it when so many rows are finished and the next part has some of its own."""
        self._wait(process, lambda: self.finished_rows() >= rows)
        # The rows of the last part stand there until the next one begins.
        whole = self.sizes().get("part.rows", 0) or sys.maxsize
        self._wait(process, lambda: 0 < self.sizes().get("part.rows", 0) < whole)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    def _wait(self, process: "subprocess.Popen[bytes]", reached: Callable[[], bool]) -> None:
        while not reached():
            if process.poll() is not None:
                raise SystemExit(f"the job has ended with {process.returncode} before it could be killed")
            time.sleep(_POLL_SECONDS)

    def finished_rows(self) -> int:
        """Return how many rows of finished parts there are."""
        return int(json.loads((self.state / "job.json").read_bytes())["counts"]["rows"])


def measure(kind: str, bundle: Path, field: str, rows: int, folder: Path) -> Row:
    """Return a row of the table."""
    name, write = INPUTS[kind]
    write(folder / name, [f"{' '.join(_WORDS)} {number}" for number in range(rows)], field)
    job = BatchJob(bundle, folder / name)
    first, process = job.seconds_to_first_row()
    job.kill_when_done(process, int(_DONE * rows) - 20_000)
    sizes = job.sizes()
    kept = job.state / "part.rows"
    under_way = kept.read_bytes().splitlines(keepends=True)
    rows_bytes = sizes["rows.jsonl"] + sum(len(line.split(b" ", 6)[-1]) for line in under_way)
    done = job.finished_rows() + len(under_way)
    again, process = job.seconds_to_first_row()
    if process.wait() != 0:
        raise SystemExit(f"the job has ended with {process.returncode}")
    with job.output.open("rb") as output:
        numbers = [json.loads(line)["row"] for line in output]
    if numbers != list(range(rows)):
        raise SystemExit(f"{job.output}: not every row once, in order")
    return {
        "input": kind,
        "rows": rows,
        "finished at the kill": done,
        "first row, s": first,
        "first row going on, s": again,
        "rows, MB": rows_bytes / 1e6,
        "state, bytes": sum(sizes.values()) - rows_bytes,
        "state, bytes a row": (sum(sizes.values()) - rows_bytes) / done,
    }


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK_ROWS:,} rows")
    parser.add_argument("--input", choices=list(INPUTS), action="append", help="only this kind; can be repeated")
    arguments = parser.parse_args()
    field = document_field(TASKS[read_manifest(arguments.bundle).task].operation)
    rows = _QUICK_ROWS if arguments.quick else _ROWS
    measured: list[Row] = []
    for kind in arguments.input or INPUTS:
        with tempfile.TemporaryDirectory() as folder:
            measured.append(measure(kind, arguments.bundle.absolute(), field, rows, Path(folder)))
            print(measured[-1], flush=True)
    write_report(
        "batch_going_on",
        "Bulk work that goes on",
        measured,
        NOTES,
        folder=QUICK_RESULTS if arguments.quick else RESULTS,
    )


if __name__ == "__main__":
    main()
