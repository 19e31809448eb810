"""What Ray costs a job: tokens per second of `bigbird batch` on a cluster of one worker, beside one machine's.

    python -m benchmarks.batch_on_ray BUNDLE            600 documents; a table in benchmarks/results
    python -m benchmarks.batch_on_ray BUNDLE --quick    60

The same documents go through both, in rounds that take turns, with all of this machine's cores. A cluster's start is
told apart: `running` is the rate from the first part's arrival to the last one's, `with start` the whole command's.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.batch import write_documents
from benchmarks.report import QUICK_RESULTS, RESULTS, Row, write_report
from bigbird_inference.runtime.cores import available_cores
from bigbird_inference.runtime.cpu_runtime_choice import CpuChoice
from bulk.cluster.part_folder import PartNotes
from bulk.cluster.part_worker import Work
from bulk.cluster.ray_job import run_ray_job
from bulk.job import Job, run_job
from bulk.model import load
from bulk.requests import document_field

_DOCUMENTS, _QUICK_DOCUMENTS = 600, 60
_PARTS = 12
_QUESTION = "Who is the managing director?"

_ROUNDS, _QUICK_ROUNDS = 5, 2

NOTES = (
    "medians of the rounds; ratio: the median of each round's own, of the rates while they run.",
    "seconds to start: of the command on Ray, until its first part is there.",
)


def measure(bundle: Path, documents: int, rounds: int, threads: int, folder: Path) -> Row:
    """Return the figures of one model."""
    cpu = CpuChoice("onnxruntime")
    model = load(bundle, device="cpu", threads=threads, cpu=cpu)
    questions = [_QUESTION] if model.manifest.task == "qa" else []
    given = folder / "in.jsonl"
    write_documents(given, documents, document_field(model.task.operation), 0)
    figures = []
    for number in range(rounds):
        begun = time.perf_counter()
        counts = run_job(Job([str(given)], folder / f"{number}.jsonl", questions=questions), lambda: model)
        alone = counts.tokens / (time.perf_counter() - begun)
        parts = folder / f"parts-{number}"
        work = Work(Job([str(given)], parts, questions=questions), str(bundle.absolute()), "cpu", threads, cpu)
        begun_at = time.time()
        run_ray_job(work, "local", range_bytes=given.stat().st_size // _PARTS)
        whole = counts.tokens / (time.time() - begun_at)
        running, first = _running(sorted(parts.glob("part-*.parquet"), key=lambda path: path.stat().st_mtime))
        figures.append((alone, running, running / alone, whole, first - begun_at))
    names = ("one machine, tokens/s", "on Ray, running, tokens/s", "ratio", "on Ray, with start, tokens/s")
    medians = [median(column) for column in zip(*figures, strict=True)]
    measured = dict(zip((*names, "seconds to start"), medians, strict=True))
    return {"model": model.name, "documents": documents, "rounds": rounds, "threads": threads, **measured}


def _running(parts: Sequence[Path]) -> tuple[float, float]:
    """Return the tokens per second between the first part and the last, and when the first one came."""
    times = [path.stat().st_mtime for path in parts]
    tokens = 0
    for path in parts[1:]:
        with path.open("rb") as content:
            tokens += PartNotes.read(content).counts.tokens
    return tokens / (times[-1] - times[0]), times[0]


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE")
    parser.add_argument("--quick", action="store_true", help="60 documents")
    arguments = parser.parse_args()
    documents, rounds = (_QUICK_DOCUMENTS, _QUICK_ROUNDS) if arguments.quick else (_DOCUMENTS, _ROUNDS)
    rows: list[Row] = []
    for bundle in arguments.bundles:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(bundle, documents, rounds, available_cores(), Path(folder)))
    write_report("batch_on_ray", "Bulk work on Ray", rows, NOTES, folder=QUICK_RESULTS if arguments.quick else RESULTS)


if __name__ == "__main__":
    main()
