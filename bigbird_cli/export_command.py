"""`bigbird export`: from a checkpoint to a bundle.

Whatever is wrong with the paths is told before torch is imported, which takes seconds.
"""

import re
import shlex
import signal
import sys
from collections.abc import Collection, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, get_args

import click

from bigbird_cli.listed_values import ListedValues, Names, TokenNumbers
from bigbird_cli.main import packages_of
from bigbird_inference.manifest import Manifest, PairTypes, Precision, TaskName
from model_export.checkpoints.files import NOT_UTF8, check_folder
from model_export.checkpoints.hub import resolve
from model_export.errors import ExportError
from model_export.export.buckets import BucketStep
from model_export.export.placement import check_destination
from model_export.patterns.registry import PATTERNS

_STEP = re.compile(r"every:([0-9]{1,9})(?::([0-9]{1,9}))?")


class BucketChoice(click.ParamType[tuple[int, ...] | BucketStep]):
    """`128,256,704`, or `every:128`, or `every:128:2048` for lengths up to 2,048."""

    name = "lengths"
    _lengths = TokenNumbers("128,256,704 or a step like every:128")

    def convert(
        self, value: str | tuple[int, ...] | BucketStep, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...] | BucketStep:
        """Read the lengths or the step."""
        if isinstance(value, BucketStep):
            return value
        step = _STEP.fullmatch(value) if isinstance(value, str) else None
        if step is None:
            return self._lengths.convert(value, param, ctx)
        return BucketStep(int(step[1]), int(step[2]) if step[2] else None)


_MOST_POSITIONS = 2**20  # a manifest takes no longer model
_PLACE = "{precision}"


class Precisions(ListedValues[Precision]):
    """Precisions with commas between them."""

    name = "|".join(get_args(Precision))

    def read(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Precision, ...]:
        """Read the names; each counts once."""
        known: dict[str, Precision] = {name: name for name in get_args(Precision)}
        for name in value.split(","):
            if name not in known:
                self.fail(f"{name!r} is not one of {', '.join(known)}", param, ctx)
        return tuple(dict.fromkeys(known[name] for name in value.split(",")))


_LONGEST_LABELS_FILE = 4 * 2**20


class LabelNames(ListedValues[str]):
    """`O,B-PER,I-PER`, or a file with a name on each line."""

    name = "names"

    def read(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Read the names."""
        names = tuple(name.strip() for name in (self._lines(value, param, ctx) or value.split(",")))
        if "" in names:
            self.fail(f"{value}: number {names.index('')} has no name", param, ctx)
        return names

    def _lines(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """Return the lines of a file; none if there is no such file."""
        try:
            if not Path(value).is_file():
                return []
            with Path(value).open("rb") as stream:
                text = stream.read(_LONGEST_LABELS_FILE).decode("utf-8-sig")
        except UnicodeDecodeError:
            self.fail(f"{value}: {NOT_UTF8}", param, ctx)
        except (OSError, ValueError) as error:
            self.fail(f"{value}: cannot be read: {error}", param, ctx)
        return text.rstrip().splitlines() or [""]


class CalibrationTexts(click.ParamType[tuple[str, ...]]):
    """A file of texts, with labels or without."""

    name = "file"

    def convert(
        self, value: str | tuple[str, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Read the texts."""
        if isinstance(value, tuple):
            return value
        from evaluation.data.documents import read_documents
        from evaluation.data.source_text import DataError

        try:
            return tuple(read_documents(Path(value)))
        except DataError as error:
            self.fail(str(error), param, ctx)


@click.command("export")
@click.argument("checkpoint")
@click.option("--output", type=click.Path(path_type=Path), help="Folder of the bundle to make.")
@click.option(
    "--task", type=click.Choice(get_args(TaskName)), help="Taken from the checkpoint's architectures when absent."
)
@click.option(
    "--tokenizer",
    metavar="PATH_OR_ID",
    help="Where the tokenizer is, if not in the checkpoint: a folder, a file (spiece.model, tokenizer.json), or the id "
    "of a model on the hub.",
)
@click.option(
    "--positions",
    type=click.IntRange(1, _MOST_POSITIONS),
    help="Of a BERT encoder, which becomes a BigBird: how many positions its own are repeated to. 4096 when absent.",
)
@click.option(
    "--text-pieces",
    multiple=True,
    type=Names(),
    help="User-defined pieces of the vocabulary that texts may hold, for example '<row>,<cn>', where training used "
    "them. All others are ordinary characters in a text.",
)
@click.option(
    "--buckets",
    type=BucketChoice(),
    help="Padded lengths in tokens, for example 128,256,704,1024, or a step: every:128, or every:128:2048 for lengths "
    "up to 2,048. Derived from the configuration when absent.",
)
@click.option(
    "--pattern",
    type=click.Choice(list(PATTERNS)),
    help="Which implementation's random blocks to reproduce. That of the checkpoint's own source when absent.",
)
@click.option(
    "--labels",
    type=LabelNames(),
    metavar="FILE|NAMES",
    help="What the outputs of a classify or ner head are called: names with commas between them, or a file with one on "
    "each line. As the checkpoint says when absent.",
)
@click.option(
    "--pair-types",
    type=click.Choice(get_args(PairTypes)),
    help="Token types of a text and its text_pair, of a prompt and a choice: 0 and 1, or zeros. When absent, those of "
    "the checkpoint's training: zeros if transformers wrote it, whose tokenizer gives none.",
)
@click.option(
    "--precision",
    type=Precisions(),
    default="fp32",
    show_default=True,
    help="Number format of weights and products; int8 is for CPUs with VNNI, fp16 and bf16 are for GPUs. Several, like "
    "fp32,int8, make a bundle of each in less time than apart; --output then holds {precision} in its place.",
)
@click.option(
    "--calibration",
    type=CalibrationTexts(),
    metavar="FILE",
    help="For int8, where OpenVINO and NNCF are installed: texts like those that will be asked about, plain (.txt), or "
    "in the files of `bigbird evaluate` (.json of SQuAD, .csv, .tsv, .jsonl). Activations get their ranges from them.",
)
@click.option(
    "--attention",
    type=click.Choice(["composed", "fused", "both"]),
    help="How the graphs attend: composed of standard operators, or in onnxruntime's fused one, which is fast on GPUs. "
    "both for fp16 and bf16, otherwise composed, when absent.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0, min_open=True),
    help="Largest difference of outputs between a graph and torch: absolute for fp32 (default 1e-4), in standard "
    "deviations for fp16 (default 0.1), bf16 (0.5) and int8 (1).",
)
@click.option(
    "--ignore-weights",
    multiple=True,
    metavar="PATTERN",
    help="Leave out the tensors whose names fit, for example an extra head: 'score.*'. May be given several times.",
)
@click.option(
    "--base",
    metavar="FOLDER_OR_ID",
    help="The model that a LoRA adapter belongs to, where its adapter_config.json does not lead there.",
)
@click.option(
    "--follow-links",
    is_flag=True,
    help="Read what symbolic links of the folder lead to, wherever that is. Only for folders that you trust.",
)
@click.option("--overwrite", is_flag=True, help="Replace the output folder once the new bundle is complete.")
@click.option("--dry-run", is_flag=True, help="Read and check the checkpoint, say what would be made, and stop.")
def command(
    checkpoint: str,
    output: Path | None,
    precision: tuple[Precision, ...],
    text_pieces: tuple[tuple[str, ...], ...],
    overwrite: bool,
    dry_run: bool,
    **choices: Any,
) -> None:
    """Export CHECKPOINT, a folder or the id of a model on the Hugging Face hub (organisation/name@revision:folder).

    A folder may hold weights of Hugging Face (safetensors, pytorch_model.bin, flax_model.msgpack), a LoRA adapter of
    PEFT, or weights of google-research or TensorFlow Model Garden; which, is told by its contents. A BERT encoder of
    Hugging Face becomes a BigBird.

    What is seen in it is said before anything is made. Every bucket is compared with torch before the bundle is put in
    place.
    """
    # Ended from outside, an export cleans up like after any failure.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + signal.SIGTERM))
    if output is None and not dry_run:
        raise click.UsageError("--output is missing: name the folder of the bundle to make, or ask for a --dry-run")
    outputs = {} if output is None else _outputs(output, precision)
    try:
        for place in outputs.values():
            check_destination(place, overwrite=overwrite)
        folder = resolve(checkpoint)
        check_folder(folder)
        with packages_of("export"):
            from model_export.pipeline import export_precisions
            from model_export.preparation import ExportOptions, prepare
        name = None if Path(checkpoint).exists() else checkpoint
        choices["calibration"] = choices["calibration"] or ()
        options = ExportOptions(text_pieces=tuple(chain.from_iterable(text_pieces)), **choices)
        if dry_run:
            prepared = prepare(folder, precision, options, name=name)
            prepared.check_tokenizer()
            click.echo("\n".join(prepared.lines()))
            return
        manifests = export_precisions(folder, outputs, options, overwrite=overwrite, name=name)
    except (ExportError, OSError) as error:
        raise click.ClickException(str(error)) from error
    _report(outputs.values(), manifests)


def _report(outputs: Collection[Path], manifests: Sequence[Manifest]) -> None:
    """Print what was made, and what can be done with it."""
    for made, manifest in zip(outputs, manifests, strict=True):
        worst = max(parity.max_abs_difference for bucket in manifest.buckets for parity in bucket.parity)
        click.echo(
            f"{made}: {manifest.task}, {len(manifest.buckets)} buckets up to {manifest.max_length} tokens, "
            f"pattern {manifest.pattern}, largest difference from torch {worst:.2g}"
        )
    for made in outputs:
        click.echo(f"next: bigbird serve --models {shlex.quote(str(made))}")


def _outputs(output: Path, precisions: tuple[Precision, ...]) -> dict[Precision, Path]:
    """Return the bundle to make for each precision."""
    if len(precisions) > 1 and _PLACE not in str(output):
        raise click.UsageError(f"--output needs {_PLACE} in it where several precisions are made")
    return {precision: Path(str(output).replace(_PLACE, precision)) for precision in precisions}
