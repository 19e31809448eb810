"""What `bigbird batch` makes of the hardware: tokens per second beside a bare loop over the session, and memory.

    python -m benchmarks.batch BUNDLE                     20,000 documents; a table in benchmarks/results
    python -m benchmarks.batch BUNDLE --quick             60
    python -m benchmarks.batch BUNDLE --documents 200000 --median-tokens 20

BUNDLE is one for question answering, classification or entities. Documents have log-normal lengths with a median of 900
tokens unless asked otherwise. Rounds take turns: some documents through the bare loop, then as many through a job, so
that whatever else the machine does meets both. The loop has its windows ready, in the job's order and batches, and
throws the outputs away. Memory is sampled while a last job answers all documents.
"""

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.peak_memory import resident_memory
from benchmarks.report import QUICK_RESULTS, RESULTS, Row, write_report
from bigbird_inference.batch_run import run_batch
from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.runtime.cpu_runtime_choice import CpuChoice
from bulk.job import BATCH_ITEMS, Job, batch_tokens, run_job
from bulk.model import load
from bulk.parts import encoded_parts
from bulk.plan import PendingItem, Plan
from bulk.requests import RequestMaker, document_field
from bulk.sources.inputs import Inputs, Shard
from bulk.sources.rows import Position

_DOCUMENTS, _QUICK_DOCUMENTS = 20_000, 60
_ROUNDS, _QUICK_ROUNDS = 5, 2
_FEWEST_OF_A_ROUND, _MOST_OF_A_ROUND = 20, 400
_MEDIAN_TOKENS, _SIGMA = 900, 0.6
_TEXTS = Path(__file__).resolve().parents[1] / "examples" / "documents"
_SAMPLE_SECONDS = 0.5
_QUESTION = "Who is the managing director?"

NOTES = (
    "loop, job: real tokens per second, the median of the rounds; ratio: the median of each round's own.",
    "growth: of resident memory, from the end of the first tenth of the samples to the highest after it.",
)


def write_documents(path: Path, count: int, field: str, seed: int, *, median_tokens: int = _MEDIAN_TOKENS) -> None:
    """Write JSON lines of documents, made of the lines of the example documents in random order."""
    random = np.random.default_rng(seed)
    lines = [line for file in sorted(_TEXTS.glob("*.txt")) for line in file.read_text("utf-8").splitlines() if line]
    with path.open("w", encoding="utf-8") as file:
        for tokens in random.lognormal(np.log(median_tokens), _SIGMA, count):
            # About five characters to a token, with the space before it.
            text, left = [], 5 * tokens
            while left > 0:
                text.append(str(random.choice(lines))[: int(left) + 1])
                left -= len(text[-1]) + 1
            file.write(json.dumps({field: "\n".join(text)}) + "\n")


def bare_loop(model: LoadedModel, job: Job) -> float:
    """Return the seconds of the job's batches alone."""
    maker = RequestMaker(model.task.operation, questions=job.questions)
    rows = Inputs(job.inputs).rows(Position(), Shard())
    seconds = 0.0
    for part in encoded_parts(rows, maker, model.task, model.manifest, frozenset()):
        plan = Plan(model.buckets(), max_tokens=batch_tokens(job, model), max_items=BATCH_ITEMS)
        for item in part.items:
            assert item.encoded is not None, item.problem
            plan.add(PendingItem(item.item, item.encoded))
        begun = time.perf_counter()
        while (batch := plan.next_batch()) is not None:
            run_batch(batch.bucket, [window.sequence for window in batch.windows], time.monotonic)
        seconds += time.perf_counter() - begun
    return seconds


def measure(model: LoadedModel, documents: int, median_tokens: int, rounds: int, folder: Path) -> Row:
    """Return the figures of one model."""
    operation = model.task.operation
    field = document_field(operation)
    questions = [_QUESTION] if model.manifest.task == "qa" else []
    loop, through_job, padding = [], [], []
    of_a_round = min(max(documents // (2 * rounds), _FEWEST_OF_A_ROUND), _MOST_OF_A_ROUND)
    for number in range(rounds):
        given = folder / f"round-{number}.jsonl"
        write_documents(given, of_a_round, field, number, median_tokens=median_tokens)
        job = Job([str(given)], given.with_suffix(".out.jsonl"), questions=questions)
        seconds = bare_loop(model, job)
        begun = time.perf_counter()
        counts = run_job(job, lambda: model)
        through_job.append(counts.tokens / (time.perf_counter() - begun))
        loop.append(counts.tokens / seconds)
        padding.append(counts.padded_tokens / counts.tokens)
    given = folder / "all.jsonl"
    write_documents(given, documents, field, rounds, median_tokens=median_tokens)
    with sampled_memory() as samples:
        run_job(Job([str(given)], folder / "all.out.jsonl", questions=questions), lambda: model)
    return {
        "model": model.name,
        "runtime": f"{model.runtime}, {model.computes_in}",
        "documents": documents,
        "median tokens": median_tokens,
        "loop, tokens/s": median(loop),
        "job, tokens/s": median(through_job),
        "ratio": median(own / bare for own, bare in zip(through_job, loop, strict=True)),
        "computed/real": max(padding),
        "memory, MB": max(samples) / 1e6,
        "growth": growth(samples),
    }


def growth(samples: Sequence[int]) -> float:
    """Return by what part memory grew after the first tenth of the samples."""
    first = max(len(samples) // 10, 1)
    return max(samples[first - 1 :]) / samples[first - 1] - 1


@contextmanager
def sampled_memory() -> Iterator[list[int]]:
    """Collect what this process has resident while a block runs."""
    samples, over = [resident_memory()], threading.Event()

    def sample() -> None:
        while not over.wait(_SAMPLE_SECONDS):
            samples.append(resident_memory())

    thread = threading.Thread(target=sample, name="memory", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE")
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK_DOCUMENTS} documents")
    parser.add_argument("--documents", type=int, metavar="COUNT", help=f"of the last job; {_DOCUMENTS:,}")
    parser.add_argument("--median-tokens", type=int, default=_MEDIAN_TOKENS, metavar="COUNT", help="%(default)s")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="of the report; benchmarks/results")
    parser.add_argument("--cpu-runtime", choices=["auto", "onnxruntime", "openvino"], default="onnxruntime")
    arguments = parser.parse_args()
    documents, rounds = (_QUICK_DOCUMENTS, _QUICK_ROUNDS) if arguments.quick else (_DOCUMENTS, _ROUNDS)
    documents = arguments.documents or documents
    rows: list[Row] = []
    for bundle in arguments.bundles:
        with tempfile.TemporaryDirectory() as work:
            model = load(bundle, cpu=CpuChoice(arguments.cpu_runtime))
            rows.append(measure(model, documents, arguments.median_tokens, rounds, Path(work)))
    folder = arguments.output or (QUICK_RESULTS if arguments.quick else RESULTS)
    write_report("batch", "Bulk work", rows, NOTES, folder=folder)


if __name__ == "__main__":
    main()
