"""A job from its inputs to its output, top to bottom; everything that can end it is one `JobError`."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.manifest import TaskName
from bigbird_inference.runtime.session import DeviceLost
from bigbird_inference.tasks.declaration import Operation
from bigbird_inference.version import service_version
from bulk.answering import Finished, PartAnswering
from bulk.devices import DeviceThreads
from bulk.errors import JobError
from bulk.highlights import check_folder, write_highlights
from bulk.job_folder import Counts, JobFolder, Order, PartRow
from bulk.output_file import JSON_LINES, PARQUET, OutputFile
from bulk.own_files import refuse_own_files
from bulk.parquet_output import write_parquet
from bulk.parts import encoded_parts
from bulk.progress_line import JobProgress
from bulk.requests import RequestMaker, document_field
from bulk.result_rows import ResultRows
from bulk.sources.documents import read_ahead
from bulk.sources.inputs import Format, Inputs, Shard, Survey
from bulk.sources.standard_input import StandardInput
from documents.limits import Limits
from documents.parsers import Parsers

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
        inputs: Files, folders, patterns, the same in object stores, or `-`.
        output: Where the rows go: `.jsonl` or `.parquet`, a file or an object.
        options: Fields of the task's request that are the same for every row.
        columns: Which column holds a field, where it is not named like the field.
        questions: Asked about every document.
        id_column: The column of ids.
        input_format: What files are, whatever their endings say.
        order: Of the output's rows.
        shard: Which of the rows are answered.
        keep_text: Whether the output holds the documents.
        restart: Whether what an earlier run left is deleted.
        batch_tokens: Most tokens of a batch, padding included; 0 for what suits the device.
        document_limits: Of each file that is a document.
        highlights: Where copies of PDFs go in which answers are marked; None for no copies.
    """

    inputs: Sequence[str]
    output: str | Path
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
    output = OutputFile(job.output)
    output.check()
    own = [output.name, *(str(output.job_folder / f"rows{ending}") for ending in (JSON_LINES, PARQUET))]
    # Of a folder documents are read, which these are not.
    refuse_own_files(f"--output {output}", own, [given for given in job.inputs if not Path(given).is_dir()])
    survey = Inputs(job.inputs, format=job.input_format).survey()
    if survey.passed_over:
        with suppress(OSError):  # standard error may be closed
            print(f"batch: {survey.passed_over:,} files in folders are not documents: passed over", file=sys.stderr)
    model = load()
    maker = request_maker(job, model.task.operation)
    with JobFolder(output, job.order) as folder:
        try:
            if job.highlights is not None and job.restart:  # before rows are deleted
                check_folder(job.highlights, job.inputs, begun=False)
            folder.open(
                asked(job, survey, model.name, model.revision, model.manifest.task, describe_runtime(model)),
                restart=job.restart,
            )
            if job.highlights is not None and not job.restart:
                check_folder(job.highlights, job.inputs, begun=folder.begun)
            if not folder.finished:
                _answer_all(job, survey, model, maker, folder)
                folder.finish()
            _place(output, job, survey, model, folder)
        except DeviceLost as error:
            raise JobError(f"a device has failed: {error}; run the same command again to go on") from error
        except OSError as error:
            place = error.filename or folder.folder
            raise JobError(
                f"{place}: {error.strerror or error}; nothing that was finished is lost: make room, and run the same "
                "command again to go on"
            ) from error
        return folder.counts_so_far


def request_maker(job: Job, operation: Operation) -> RequestMaker:
    """Return what makes the job's requests.

    Raises:
        JobError: They do not fit the task's request.
    """
    return RequestMaker(
        operation, columns=job.columns, options=job.options, questions=job.questions, id_column=job.id_column
    )


def describe_runtime(model: LoadedModel) -> str:
    """Return what computes a model, as far as its numbers depend on it."""
    return f"{model.runtime}, {model.computes_in}, on {'GPU' if model.devices.on_gpu else 'CPU'}"


def asked(job: Job, survey: Survey, model: str, revision: str, task: TaskName, runtime: str) -> dict[str, Any]:
    """Return everything that the rows depend on."""
    return {
        "version": service_version(),
        "input": list(job.inputs),
        "input files": survey.fingerprint,
        "input format": job.input_format,
        "model": model,
        "model revision": revision,
        "runtime": runtime,
        "task": task,
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
    standard_input = StandardInput()
    inputs = Inputs(
        job.inputs,
        format=job.input_format,
        document_column=document_column,
        standard_input=standard_input.open,
        parsers=parsers,
    )
    given = read_ahead(inputs.rows(folder.position, job.shard), 2 * _PARSERS)
    parts = encoded_parts(given, maker, model.task, model.manifest, folder.answered)
    with (
        JobProgress(survey.bytes, folder.counts_so_far) as progress,
        DeviceThreads(len(model.devices.names)) as devices,
        ThreadPoolExecutor(1, "reader") as reader,
        # Ended first: the reader may be waiting for one of them.
        parsers,
        standard_input,
    ):
        answering = PartAnswering(
            model.task, model.buckets(), devices, max_batch_tokens=batch_tokens(job, model), max_batch_items=BATCH_ITEMS
        )
        for part in _one_ahead(parts, reader):
            for answers in answering.answers(part):
                folder.append(part_row(finished, rows) for finished in answers.finished)
                progress.batch(part, answers.finished, answers.real_tokens)
            if part.after is None:
                continue
            if job.highlights is not None:
                write_highlights(folder.rows_of_part(), job.highlights, parsers)
            folder.finish_part(part.after, part.bytes)
            progress.part(part)


def batch_tokens(job: Job, model: LoadedModel) -> int:
    """Return the most tokens of a batch."""
    return job.batch_tokens or (_GPU_BATCH_TOKENS if model.devices.on_gpu else _CPU_BATCH_TOKENS)


def part_row(finished: Finished, rows: ResultRows) -> PartRow:
    """Return an item's row of the output."""
    usage = finished.usage
    tokens, padded_tokens = (0, 0) if usage is None else (usage.tokens, sum(usage.buckets))
    failed = finished.problem is not None
    return PartRow(finished.item.key, rows.write(finished), failed, tokens, padded_tokens)


def _place(output: OutputFile, job: Job, survey: Survey, model: LoadedModel, folder: JobFolder) -> None:
    """Put the rows of a finished job in the output's place, unless that was done."""
    if not folder.rows_file.exists():
        if not output.exists():
            raise JobError(f"{output}: the job is done, and its output is gone; --restart does it again")
        return
    made = folder.rows_file
    if output.is_parquet:
        made = folder.folder / f"rows{PARQUET}"
        located = survey.documents > 0
        with folder.rows_file.open("rb") as lines:
            write_parquet(lines, made, model.task.operation, keep_text=job.keep_text, located=located)
    folder.place(made)


def _one_ahead(items: Iterator[Item], reader: Executor) -> Iterator[Item]:
    """Yield what an iterator gives, and have a thread make the next one meanwhile."""
    following = reader.submit(next, items, None)
    while (item := following.result()) is not None:
        following = reader.submit(next, items, None)
        yield item
