"""A job from its inputs to its output, top to bottom; everything that can end it is one `JobError`."""

import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.progress import Progress
from bigbird_inference.runtime.session import DeviceLost
from bigbird_inference.version import service_version
from bulk.answering import Finished, PartAnswering
from bulk.devices import DeviceThreads
from bulk.errors import JobError
from bulk.highlights import check_folder, write_highlights
from bulk.job_folder import Counts, JobFolder, Order, PartRow
from bulk.parquet_output import write_parquet
from bulk.parts import Part, encoded_parts
from bulk.pyarrow_package import pyarrow_parquet
from bulk.requests import RequestMaker, document_field
from bulk.result_rows import ResultRows
from bulk.sources.documents import read_ahead
from bulk.sources.inputs import Format, Inputs, Shard, Survey
from documents.limits import Limits
from documents.parsers import Parsers

PARQUET, JSON_LINES = ".parquet", ".jsonl"
# On a CPU a batch costs as much as its tokens, however it is cut; a GPU needs large ones to be busy.
_CPU_BATCH_TOKENS, _GPU_BATCH_TOKENS = 4096, 32_768
BATCH_ITEMS = 64
# A GPU reads some hundred thousand characters a second, a parser about as many.
_PARSERS = min(4, os.cpu_count() or 1)

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked for.

    Attributes:
        inputs: Files, folders, patterns, or `-`.
        output: Where the rows go: `.jsonl` or `.parquet`.
        options: Fields of the task's request that are the same for every row.
        columns: Which column holds a field, where it is not named like the field.
        questions: Asked about every document.
        id_column: The column of ids.
        input_format: What inputs are whose ending does not tell.
        order: Of the output's rows.
        shard: Which of the rows are answered.
        keep_text: Whether the output holds the documents.
        restart: Whether what an earlier run left is deleted.
        batch_tokens: Most tokens of a batch, padding included; 0 for what suits the device.
        document_limits: Of each file that is a document.
        highlights: Where copies of PDFs go in which answers are marked; None for no copies.
    """

    inputs: Sequence[str]
    output: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    questions: Sequence[str] = ()
    id_column: str | None = None
    input_format: Format | None = None
    order: Order = "input"
    shard: Shard = field(default_factory=Shard)
    keep_text: bool = False
    restart: bool = False
    batch_tokens: int = 0
    document_limits: Limits = field(default_factory=Limits)
    highlights: Path | None = None


def run_job(job: Job, load: Callable[[], LoadedModel]) -> Counts:
    """Do a job, or what is left of it.

    Args:
        job: What is asked for.
        load: Opens the model; called when inputs and output have been looked at as far as that goes without it.

    Returns:
        What there is in the output.

    Raises:
        JobError: It cannot be done, or not to its end; run again, it goes on where it was.
    """
    _check_output(job.output)
    survey = Inputs(job.inputs, format=job.input_format).survey()
    model = load()
    maker = RequestMaker(
        model.task.operation,
        columns=job.columns,
        options=job.options,
        questions=job.questions,
        id_column=job.id_column,
    )
    with JobFolder(job.output, job.order) as folder:
        try:
            folder.open(_asked(job, survey, model), restart=job.restart)
            if job.highlights is not None:
                check_folder(job.highlights, job.inputs, begun=folder.begun)
            if not folder.finished:
                _answer_all(job, survey, model, maker, folder)
                folder.finish()
            _place(job, survey, model, folder)
        except DeviceLost as error:
            raise JobError(f"a device has failed: {error}; run the same command again to go on") from error
        except OSError as error:
            place = error.filename or folder.folder
            raise JobError(
                f"{place}: {error.strerror or error}; nothing that was finished is lost: make room, and run the same "
                "command again to go on"
            ) from error
        return folder.counts_so_far


def _check_output(output: Path) -> None:
    if output.suffix.lower() not in (PARQUET, JSON_LINES):
        raise JobError(f"{output}: the ending of --output is neither {JSON_LINES} nor {PARQUET}")
    if output.is_dir():
        raise JobError(f"{output}: is a folder; name a file")
    if not output.absolute().parent.is_dir():
        raise JobError(f"{output}: there is no folder {output.parent}; make it first")
    if output.suffix.lower() == PARQUET:
        pyarrow_parquet()


def _asked(job: Job, survey: Survey, model: LoadedModel) -> dict[str, Any]:
    """Return everything that the rows depend on."""
    return {
        "version": service_version(),
        "input": list(job.inputs),
        "input files": survey.fingerprint,
        "input format": job.input_format,
        "model": model.name,
        "model revision": model.revision,
        "runtime": f"{model.runtime}, {model.computes_in}, on {'GPU' if model.devices.on_gpu else 'CPU'}",
        "task": model.manifest.task,
        "options": dict(job.options),
        "columns": dict(job.columns),
        "id column": job.id_column,
        "questions": list(job.questions),
        "order": job.order,
        "shard": f"{job.shard.index}/{job.shard.count}",
        "document kept": job.keep_text,
        "document limits": asdict(job.document_limits),
        "highlights": None if job.highlights is None else str(job.highlights),
    }


def _answer_all(job: Job, survey: Survey, model: LoadedModel, maker: RequestMaker, folder: JobFolder) -> None:
    """Answer what is not answered yet, part by part."""
    operation = model.task.operation
    document_column = maker.columns[document_field(operation)]
    rows = ResultRows(operation, keep_text=job.keep_text)
    parsers = Parsers(job.document_limits, _PARSERS)
    inputs = Inputs(job.inputs, format=job.input_format, document_column=document_column, parsers=parsers)
    given = read_ahead(inputs.rows(folder.position, job.shard), 2 * _PARSERS)
    parts = encoded_parts(given, maker, model.task, model.manifest, folder.answered)
    with (
        _JobProgress(survey, folder.counts_so_far) as progress,
        DeviceThreads(len(model.devices.names)) as devices,
        closing(_one_ahead(parts)) as encoded,
        # Ended first: the reader may be waiting for one of them.
        parsers,
    ):
        answering = PartAnswering(
            model.task, model.buckets(), devices, max_batch_tokens=batch_tokens(job, model), max_batch_items=BATCH_ITEMS
        )
        for part in encoded:
            for answers in answering.answers(part):
                folder.append(_part_row(finished, rows) for finished in answers.finished)
                progress.batch(part, answers.finished, answers.real_tokens)
            if job.highlights is not None:
                write_highlights(folder.rows_of_part(), job.highlights, parsers)
            folder.finish_part(part.after, part.bytes)
            progress.part(part)


def batch_tokens(job: Job, model: LoadedModel) -> int:
    """Return the most tokens of a batch."""
    return job.batch_tokens or (_GPU_BATCH_TOKENS if model.devices.on_gpu else _CPU_BATCH_TOKENS)


def _part_row(finished: Finished, rows: ResultRows) -> PartRow:
    usage = finished.usage
    tokens, padded_tokens = (0, 0) if usage is None else (usage.tokens, sum(usage.buckets))
    failed = finished.problem is not None
    return PartRow(finished.item.key, rows.write(finished), failed, tokens, padded_tokens)


def _place(job: Job, survey: Survey, model: LoadedModel, folder: JobFolder) -> None:
    """Put the rows of a finished job in the output's place, unless that was done."""
    if not folder.rows_file.exists():
        if not job.output.exists():
            raise JobError(f"{job.output}: the job is done, and its output is gone; --restart does it again")
        return
    made = folder.rows_file
    if job.output.suffix.lower() == PARQUET:
        made = folder.folder / f"rows{PARQUET}"
        located = survey.documents > 0
        write_parquet(folder.rows_file, made, model.task.operation, keep_text=job.keep_text, located=located)
    folder.place(made)


def _one_ahead(items: Iterator[Item]) -> Generator[Item]:
    """Yield what an iterator gives, and have a thread make the next one meanwhile."""
    with ThreadPoolExecutor(1, "reader") as reader:
        following = reader.submit(next, items, None)
        while (item := following.result()) is not None:
            following = reader.submit(next, items, None)
            yield item


class _JobProgress:
    """The job's progress, by what was read of the inputs.

    Args:
        survey: How much there is to read.
        counts: What was done before.
    """

    def __init__(self, survey: Survey, counts: Counts) -> None:
        self._bytes = float(counts.input_bytes)
        self._part_bytes = 0.0
        self._tokens = 0
        self._rows = 0
        self._begun = time.monotonic()
        self._progress = Progress("batch", survey.bytes, "B", line_seconds=10, scaled=True, begun=counts.input_bytes)

    def __enter__(self) -> "_JobProgress":
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.close()

    def batch(self, part: Part, finished: Sequence[Finished], tokens: int) -> None:
        """Count a batch: its share of the part's tokens is its share of the part's bytes."""
        self._rows += len(finished)
        self._tokens += tokens
        self._part_bytes = min(self._part_bytes + part.bytes * tokens / max(part.tokens, 1), part.bytes)
        self._show()

    def part(self, part: Part) -> None:
        """Count a part as a whole."""
        self._bytes += part.bytes
        self._part_bytes = 0.0
        self._show()

    def _show(self) -> None:
        seconds = max(time.monotonic() - self._begun, 1e-9)
        speed = {"rows/s": f"{self._rows / seconds:.3g}", "tokens/s": f"{self._tokens / seconds:,.0f}"}
        self._progress.advance(int(self._bytes + self._part_bytes), **speed)
