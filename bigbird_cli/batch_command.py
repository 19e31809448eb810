"""`bigbird batch`: every row of some files, or every document of a folder, through a bundle, without a server."""

import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import click

from bigbird_cli.document_options import document_limit_options, given_document_limits
from bigbird_cli.task_options import given_request_options, request_options
from bigbird_inference.bundle import read_manifest
from bigbird_inference.errors import BundleError
from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.manifest import TaskName
from bigbird_inference.runtime.cpu_runtime_choice import CpuChoice, PrecisionChoice, RuntimeChoice
from bigbird_inference.tasks.registry import TASKS
from bulk.cluster.ranges import RANGE_BYTES
from bulk.errors import JobError
from bulk.job import Job, run_job
from bulk.job_folder import Counts, Order
from bulk.model import load
from bulk.object_store import is_stored
from bulk.remote_bundle import local_bundle
from bulk.sources.inputs import FORMATS, Shard

SOME_FAILED = 3
"""The exit status of a job that is done, with rows that have no answer."""


class _ShardOption(click.ParamType[Shard]):
    name = "index/count"

    def convert(self, value: str | Shard, param: click.Parameter | None, ctx: click.Context | None) -> Shard:
        """Read `INDEX/COUNT`."""
        if isinstance(value, Shard):
            return value
        numbers = re.fullmatch("([0-9]{1,18})/([0-9]{1,18})", value)
        index, count = map(int, numbers.groups()) if numbers else (0, 0)
        if index >= count:
            self.fail(f"{value!r} is not a shard; of four, the first is 0/4 and the last 3/4", param, ctx)
        return Shard(index, count)


class _ColumnOption(click.ParamType[tuple[str, str]]):
    name = "field=name"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Read `FIELD=NAME`."""
        if isinstance(value, tuple):
            return value
        field, sign, column = value.partition("=")
        if not (field and sign and column):
            self.fail(f"{value!r} is not like context=body", param, ctx)
        return field.replace("-", "_"), column


@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--model", "bundle", required=True, help="The bundle's folder, here or in an object store.")
@click.option("--task", type=click.Choice(list(TASKS)), help="What the bundle is for; only checked.")
@click.option(
    "--output",
    required=True,
    help="Where the rows go: .jsonl or .parquet, the job's state beside it in OUTPUT.job; with --ray a folder.",
)
@click.option(
    "--input-format",
    type=click.Choice(FORMATS),
    help="What files are, whatever their endings say; - is jsonl otherwise.",
)
@click.option(
    "--column",
    "columns",
    type=_ColumnOption(),
    multiple=True,
    help="Which column holds a field; the field's name else.",
)
@click.option("--id-column", help="Which column holds ids; otherwise id, if there is one, or file and line.")
@click.option("--question", "questions", multiple=True, help="qa: asked about every document; can be repeated.")
@click.option(
    "--questions",
    "questions_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="qa: a file with a question on each line.",
)
@click.option(
    "--order",
    type=click.Choice(get_args(Order)),
    default="input",
    show_default=True,
    help="Of the rows; finished: as they are finished, long documents first.",
)
@click.option("--shard", type=_ShardOption(), default=Shard(), help="Only a share of the rows, for example 0/4.")
@click.option("--keep-text", is_flag=True, help="Also write each document, in whose text the positions are.")
@click.option(
    "--highlight",
    "highlights",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also write a copy of each PDF with answers into this folder, with the answers marked.",
)
@click.option("--restart", is_flag=True, help="Begin again: delete what an earlier run of this output left.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or cuda:N,M.")
@click.option(
    "--threads", type=click.IntRange(0, 1024), default=0, help="Of a run on the CPU; 0 for all available cores."
)
@click.option(
    "--cpu-runtime", type=click.Choice(["auto", "onnxruntime", "openvino"]), default="auto", show_default=True
)
@click.option("--cpu-precision", type=click.Choice(["auto", "fp32", "bf16"]), default="auto", show_default=True)
@click.option(
    "--batch-tokens",
    type=click.IntRange(min=0),
    default=0,
    help="Most tokens of a batch, padding included; 0 for what suits the device.",
)
@document_limit_options
@click.option("--ray", "address", help="On a cluster of Ray: auto, local or host:port.")
@click.option(
    "--part-bytes",
    type=click.IntRange(min=1),
    default=RANGE_BYTES,
    show_default=True,
    help="With --ray: how much of the input is one part, and done again if its machine dies.",
)
@click.option("--ray-dashboard", is_flag=True, help="With --ray local: have Ray's dashboard on 127.0.0.1.")
@click.pass_context
def _batch(context: click.Context, /, **given: Any) -> None:
    """Ask a bundle about every row of INPUT...

    INPUT is JSON lines, CSV, TSV, Parquet, a document (.pdf, .docx, .html, .md, .txt), a folder or a pattern of
    documents, or - for standard input; all but - also in an object store, as s3://bucket/key or gs://bucket/key. Every
    row of it, and of qa every question about it, becomes a row of the output.

    A job that was ended, however, goes on where it was when the same command is run again. The exit status is 0 if all
    rows have answers, 3 if the output is complete and rows in it have an error instead, 1 if the job has not come to
    its end, and 2 if the command makes no sense.
    """
    try:
        bundle = local_bundle(given["bundle"])
    except JobError as error:
        raise click.ClickException(str(error)) from error
    options = given_request_options(context, _task(bundle, given["task"]))
    try:
        job = Job(
            given["inputs"],
            given["output"],
            options,
            _columns(given["columns"]),
            _questions(given["questions"], given["questions_file"]),
            given["id_column"],
            given["input_format"],
            given["order"],
            given["shard"],
            given["keep_text"],
            given["restart"],
            given["batch_tokens"],
            given_document_limits(given),
            given["highlights"],
        )
        counts = run_job(job, lambda: _load(bundle, given)) if given["address"] is None else _on_ray(job, given)
    except JobError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt as error:
        raise click.ClickException(_ended(given["output"])) from error
    except SystemExit:  # SIGTERM
        with suppress(OSError):
            click.echo(f"Error: {_ended(given['output'])}", err=True)
        raise
    # The status tells of a job that is done, even where nobody reads lines.
    with suppress(OSError):
        click.echo(_summary(given["output"], counts), err=True)
    sys.exit(SOME_FAILED if counts.failed else 0)


def _task(bundle: Path, asked: TaskName | None) -> TaskName:
    try:
        task = read_manifest(bundle).task
    except (BundleError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if asked not in (None, task):
        raise click.UsageError(f"--task {asked}: the bundle is for {task}; name a bundle for {asked}, or --task {task}")
    return task


def _columns(given: Sequence[tuple[str, str]]) -> dict[str, str]:
    columns = dict(given)
    if len(columns) < len(given):
        raise click.UsageError("--column names a field twice")
    return columns


def _questions(given: Sequence[str], file: Path | None) -> list[str]:
    questions = list(given)
    if not all(question.strip() for question in questions):
        raise click.UsageError("--question is empty; write what is asked")
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise click.ClickException(f"{file}: cannot be read: {error}") from error
        questions += [line.strip() for line in lines if line.strip()]
        if not questions:
            raise click.ClickException(f"{file}: holds no question; write one on each line")
    return questions


def _cpu(given: Mapping[str, Any]) -> CpuChoice:
    runtime: RuntimeChoice = given["cpu_runtime"]
    precision: PrecisionChoice = given["cpu_precision"]
    return CpuChoice(runtime, precision)


def _load(bundle: Path, given: Mapping[str, Any]) -> LoadedModel:
    return load(bundle, device=given["device"], threads=given["threads"], cpu=_cpu(given))


def _on_ray(job: Job, given: Mapping[str, Any]) -> Counts:
    if given["device"] not in ("auto", "cpu", "cuda"):
        raise click.UsageError("--device: with --ray the cluster gives out its devices; name auto, cpu or cuda")
    if job.order != "input":
        raise click.UsageError("--order: with --ray parts have their rows in the order of the input; leave it out")
    if job.highlights is not None:
        raise click.UsageError("--highlight: copies are made on one machine; leave it or --ray out")
    from bulk.cluster.part_worker import Work
    from bulk.cluster.ray_job import run_ray_job

    bundle = given["bundle"] if is_stored(given["bundle"]) else str(Path(given["bundle"]).absolute())
    work = Work(job, bundle, given["device"], given["threads"], _cpu(given))
    return run_ray_job(work, given["address"], range_bytes=given["part_bytes"], dashboard=given["ray_dashboard"])


def _ended(output: str) -> str:
    return f"{output}: stopped before its end; run the same command again to go on"


def _summary(output: str, counts: Counts) -> str:
    failed = f", {counts.failed:,} of them with an error" if counts.failed else ""
    padding = f"; computed/real {counts.padded_tokens / counts.tokens:.3f}" if counts.tokens else ""
    return f"{output}: {counts.rows:,} rows{failed}; {counts.tokens:,} tokens{padding}"


command = click.command("batch")(_batch)
command.params += request_options()
