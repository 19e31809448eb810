"""`bigbird finetune`: from a checkpoint and two files to a fine-tuned checkpoint.

Whatever is wrong with the paths is told before torch is imported, which takes seconds.
"""

import signal
import sys
from pathlib import Path
from typing import Any, get_args

import click

from bigbird_cli.main import packages_of
from bigbird_cli.task_options import refuse_options_of_other_tasks, task_option
from bigbird_inference.manifest import TrainableTask
from evaluation.data.source_text import DataError
from model_export.checkpoints.files import check_folder
from model_export.checkpoints.hub import resolve
from model_export.errors import ExportError
from model_export.patterns.registry import PATTERNS

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_OF_TASK = {
    "max_answer_tokens": ["qa"],
    "target": ["classify"],
    "text_column": ["classify", "fill-mask"],
    "pair_column": ["classify"],
    "label_column": ["classify"],
    "header": ["classify"],
    "label_separator": ["classify"],
    "unit": ["ner"],
}
_POSITIVE = click.IntRange(min=1)
_POSITIVE_FLOAT = click.FloatRange(min=0, min_open=True)


@click.command("finetune")
@click.argument("checkpoint")
@click.option("--task", required=True, type=click.Choice(get_args(TrainableTask)))
@click.option("--train", "training_file", required=True, type=_FILE, help="What to learn from.")
@click.option("--eval", "evaluation_file", required=True, type=_FILE, help="What to measure on.")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="Folder of the checkpoint to make.")
@click.option(
    "--tokenizer",
    metavar="PATH_OR_ID",
    help="Where the tokenizer is, if not in the checkpoint: a folder, a file, or the id of a model on the hub.",
)
@click.option("--epochs", type=_POSITIVE, default=3, show_default=True, help="How often every example is learned from.")
@click.option("--steps", type=_POSITIVE, help="Optimiser steps, instead of epochs.")
@click.option("--batch-size", type=_POSITIVE, default=8, show_default=True, help="Windows that are computed at once.")
@click.option(
    "--accumulate", type=_POSITIVE, default=1, show_default=True, help="So many batches make an optimiser step."
)
@click.option("--learning-rate", type=_POSITIVE_FLOAT, default=5e-5, show_default=True, help="The highest one.")
@click.option(
    "--warm-up", type=click.FloatRange(0, 1), default=0.1, show_default=True, help="Share of the steps before it."
)
@click.option(
    "--decay",
    type=click.Choice(["linear", "cosine", "constant"]),
    default="linear",
    show_default=True,
    help="How the learning rate falls after it.",
)
@click.option("--weight-decay", type=click.FloatRange(min=0), default=0.01, show_default=True)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    default="auto",
    show_default=True,
    help="Of the products; the weights stay in fp32. auto: bf16 where the device has it, otherwise fp16 on a GPU and "
    "fp32 on a CPU.",
)
@click.option("--gradient-checkpointing", is_flag=True, help="Compute activations twice to save memory.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--max-length", type=_POSITIVE, help="Tokens of a window, whole blocks; the model's longest when absent.")
@task_option("qa", "window_stride", "Tokens shared by neighbouring windows.")
@task_option("qa", "max_answer_tokens", "qa: the longest answer in measuring.", with_default=True)
@click.option("--patience", type=_POSITIVE, help="End after so many measurements that were no better.")
@click.option("--measure-every", type=_POSITIVE, help="Steps between measurements; those of an epoch when absent.")
@click.option(
    "--save-every",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="Seconds of work that a kill may cost.",
)
@click.option(
    "--pattern",
    type=click.Choice(list(PATTERNS)),
    help="Random blocks to train, measure and later export with. Those of the checkpoint's own source when absent.",
)
@click.option(
    "--random-blocks",
    type=click.Choice(["fixed", "fresh"]),
    default="fixed",
    show_default=True,
    help="Train with the pattern's blocks, or with others at every step.",
)
@click.option(
    "--target",
    type=click.Choice(["label", "labels", "number"]),
    default="label",
    show_default=True,
    help="classify: one label, any number of labels, or a number (regression).",
)
@click.option("--text-column", help="classify, fill-mask: column or field of the text, if it is not called as in GLUE.")
@click.option("--pair-column", help='classify: that of the second text; "" says that there is none.')
@click.option("--label-column", help="classify: that of the label.")
@click.option("--header/--no-header", default=True, help="classify: whether a table's first line names its columns.")
@click.option("--label-separator", default=",", show_default=True, help="classify: between labels in one cell.")
@click.option(
    "--unit",
    type=click.Choice(["document", "sentence"]),
    default="document",
    show_default=True,
    help="ner: what of a file is one text.",
)
@click.pass_context
def command(context: click.Context, /, checkpoint: str, output: Path, **choices: Any) -> None:
    """Fine-tune CHECKPOINT, a folder or the id of a model on the Hugging Face hub, for a task.

    \b
    qa         SQuAD's JSON, v1.1 and v2.0, or flat questions as JSON or JSON lines
    classify   .tsv, .csv or .jsonl like GLUE's: texts or pairs of texts with labels or numbers
    ner        CoNLL's columns, tagged IOB1, BIO, BIOES, BILOU or with types alone;
               .jsonl: texts, and their entities as [start, end, type]
    fill-mask  plain text or .jsonl: masked-language-model training

    The checkpoint may be for another task, or for none. A run that was stopped goes on when the same command is given
    again. The best weights of all measurements become a checkpoint that `bigbird export` takes.
    """  # noqa: D301 - click's mark for lines that it must not join
    # Before and after the training's own steps, for which a signal is a request to save and stop.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + signal.SIGTERM))
    refuse_options_of_other_tasks(context, choices["task"], _OF_TASK)
    try:
        folder = resolve(checkpoint)
        check_folder(folder)
    except (ExportError, OSError) as error:
        raise click.ClickException(str(error)) from error
    with packages_of("finetune"):
        from finetuning.card import export_command
        from finetuning.finetune import finetune
        from finetuning.options import FinetuneOptions
        from finetuning.trainer import TrainingStopped
    name = None if Path(checkpoint).exists() else checkpoint
    try:
        made = finetune(folder, output, FinetuneOptions(**choices), name=name)
    except (ExportError, DataError, OSError) as error:
        raise click.ClickException(str(error)) from error
    except TrainingStopped as stop:
        click.echo(f"{output}: {stop}", err=True)
        sys.exit(128 + stop.signal_number)
    figures = ", ".join(f"{name} {figure:.3f}" for name, figure in made.best.figures.items())
    click.echo(f"{output}: {figures} after step {made.best.total_steps}")
    click.echo(f"next: {export_command(str(output), made.pattern, made.buckets)}")
