"""`bigbird evaluate`: how good a bundle, or a model behind a URL, is on a file of your own; one model or two."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import click

from bigbird_cli.listed_values import TokenNumbers
from bigbird_cli.task_options import refuse_options_of_other_tasks, task_option
from evaluation.asking import Asking
from evaluation.connection import Target
from evaluation.data.entity_tags import TaggingScheme
from evaluation.data.labelled_texts import Columns
from evaluation.data.source_text import DataError
from evaluation.datasets.opening import DataSource
from evaluation.errors import EvaluationError
from evaluation.markdown import markdown
from evaluation.metrics.intervals import Resampling
from evaluation.result_files import ResultFiles
from evaluation.run import DEFAULT_EDGES, Evaluation, Options, evaluate

_OF_TASK = {
    "max_answer_tokens": ["qa"],
    "aggregation": ["ner"],
    "unit": ["ner"],
    "scheme": ["ner"],
    "text_column": ["classify"],
    "pair_column": ["classify"],
    "label_column": ["classify"],
    "header": ["classify"],
    "label_separator": ["classify"],
}


@click.command("evaluate")
@click.argument("model", metavar="BUNDLE_OR_URL")
@click.option("--task", required=True, type=click.Choice(["qa", "classify", "ner"]), help="What the data is for.")
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="qa: SQuAD JSON, or flat questions as JSON or JSON lines; classify: .tsv, .csv, .jsonl with texts and labels "
    "or numbers; ner: CoNLL columns, or .jsonl with texts and offsets.",
)
@click.option("--against", metavar="BUNDLE_OR_URL", help="A second model, compared on the same data.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Also write everything as JSON here.")
@click.option(
    "--predictions",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write what became of each item as JSON lines here.",
)
@click.option("--model", "model_name", help="Which model of the server, if several serve the task.")
@click.option("--against-model", help="The same for --against.")
@click.option("--api-key", envvar="BIGBIRD_API_KEY", show_envvar=True, help="For a server that wants one.")
@click.option("--against-api-key", envvar="BIGBIRD_AGAINST_API_KEY", show_envvar=True, help="The same for --against.")
@task_option("qa", "window_stride", "As in requests.")
@task_option("qa", "max_answer_tokens", "qa: as in requests.")
@task_option("ner", "aggregation", "ner: as in requests.", without="none")
@click.option(
    "--unit",
    type=click.Choice(["document", "sentence"]),
    default="document",
    show_default=True,
    help="ner: what is sent as one text.",
)
@click.option(
    "--scheme", type=click.Choice(get_args(TaggingScheme)), help="ner: refuse a file that is not tagged like this."
)
@click.option("--text-column", help="classify: column of the texts; GLUE's names when absent.")
@click.option("--pair-column", help="classify: column of the second texts; empty for none; GLUE's names when absent.")
@click.option("--label-column", help="classify: column of labels or numbers; GLUE's names when absent.")
@click.option(
    "--header/--no-header", default=True, help="classify: without header, columns are given by number, from 1."
)
@click.option("--label-separator", default=",", show_default=True, help="classify: between several labels in a cell.")
@click.option(
    "--lengths",
    type=TokenNumbers("512,1024", rising=True),
    default=DEFAULT_EDGES,
    help=f"Tokens at which the table by length is divided. [default: {','.join(map(str, DEFAULT_EDGES))}]",
)
@click.option("--concurrency", type=click.IntRange(1, 256), default=8, show_default=True, help="Requests at once.")
@click.option(
    "--timeout", type=click.FloatRange(1, 3600), default=600, show_default=True, help="Seconds for one answer."
)
@click.option(
    "--level", type=click.FloatRange(0.5, 0.999), default=0.95, show_default=True, help="Confidence of intervals."
)
@click.option(
    "--resamples", type=click.IntRange(100, 100_000), default=1000, show_default=True, help="Draws for intervals."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of these draws.")
@click.pass_context
def command(context: click.Context, /, **given: Any) -> None:
    """Measure BUNDLE_OR_URL, a bundle's folder or the address of a server, on a file.

    A bundle runs in this process exactly as it is served. The result is printed as Markdown; progress goes to
    standard error.
    """
    refuse_options_of_other_tasks(context, given["task"], _OF_TASK)
    if not given["label_separator"]:
        raise click.UsageError("--label-separator is empty")
    target, against = _targets(given)
    options = Options(
        edges=given["lengths"],
        asking=Asking(concurrency=given["concurrency"], timeout_seconds=given["timeout"]),
        resampling=Resampling(given["level"], given["resamples"], given["seed"]),
    )
    files = ResultFiles(given["output"], given["predictions"])
    try:
        files.ensure_writable()
        evaluation = evaluate(_source(given), target, against, options)
    except (DataError, EvaluationError, OSError) as error:
        raise click.ClickException(str(error)) from error
    # What took hours to find out is lost neither to a full disk nor to a reader that has gone.
    try:
        click.echo(markdown(evaluation.report), nl=False)
    finally:
        _write(files, evaluation)
    if evaluation.report.failure is not None:
        raise click.ClickException(evaluation.report.failure)


def _write(files: ResultFiles, evaluation: Evaluation) -> None:
    try:
        files.write(evaluation)
    except EvaluationError as error:
        raise click.ClickException(str(error)) from error


def _targets(given: Mapping[str, Any]) -> tuple[Target, Target | None]:
    target = Target(given["model"], given["model_name"], given["api_key"])
    if given["against"] is None:
        return target, None
    # A key goes to another server only if it was given for it.
    key = given["against_api_key"] or (given["api_key"] if given["against"] == given["model"] else None)
    return target, Target(given["against"], given["against_model"], key)


def _source(given: Mapping[str, Any]) -> DataSource:
    names = ("window_stride", "max_answer_tokens", "aggregation")
    return DataSource(
        task=given["task"],
        path=given["data"],
        fields={name: given[name] for name in names},
        columns=Columns(given["text_column"], given["pair_column"], given["label_column"]),
        header=given["header"],
        separator=given["label_separator"],
        unit=given["unit"],
        scheme=given["scheme"],
    )
