"""What Ray costs a job: tokens per second of `bigbird batch` on a cluster of one worker, beside one machine's.

    python -m benchmarks.batch_on_ray BUNDLE            600 documents; a table in benchmarks/results
    python -m benchmarks.batch_on_ray BUNDLE --quick    60

The same documents go through both, one after the other, with all of this machine's cores. Its start is told apart:
`running` is the rate from the first part's arrival to the last one's, `with start` that of the whole command.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

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

NOTES = ("ratio: of the rates while they run. seconds to start: of the command on Ray, until its first part is there.",)


def measure(bundle: Path, documents: int, threads: int, folder: Path) -> Row:
    """Return the figures of one model."""
    cpu = CpuChoice("onnxruntime")
    model = load(bundle, device="cpu", threads=threads, cpu=cpu)
    questions = [_QUESTION] if model.manifest.task == "qa" else []
    given = folder / "in.jsonl"
    write_documents(given, documents, document_field(model.task.operation), 0)
    begun = time.perf_counter()
    counts = run_job(Job([str(given)], folder / "out.jsonl", questions=questions), lambda: model)
    alone = counts.tokens / (time.perf_counter() - begun)
    job = Job([str(given)], folder / "parts", questions=questions)
    begun_at = time.time()
    work = Work(job, str(bundle.absolute()), "cpu", threads, cpu)
    run_ray_job(work, "local", range_bytes=given.stat().st_size // _PARTS)
    whole = counts.tokens / (time.time() - begun_at)
    running, first = _running(sorted((folder / "parts").glob("part-*.parquet"), key=lambda path: path.stat().st_mtime))
    return {
        "model": model.name,
        "documents": documents,
        "threads": threads,
        "one machine, tokens/s": alone,
        "on Ray, running, tokens/s": running,
        "ratio": running / alone,
        "on Ray, with start, tokens/s": whole,
        "seconds to start": first - begun_at,
    }


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
    documents = _QUICK_DOCUMENTS if arguments.quick else _DOCUMENTS
    rows: list[Row] = []
    for bundle in arguments.bundles:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(bundle, documents, available_cores(), Path(folder)))
    write_report("batch_on_ray", "Bulk work on Ray", rows, NOTES, folder=QUICK_RESULTS if arguments.quick else RESULTS)


if __name__ == "__main__":
    main()
