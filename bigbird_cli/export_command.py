"""`bigbird export`: from a checkpoint to a bundle."""

import signal
import sys
from pathlib import Path
from typing import Literal

import click

from model_export.errors import ExportError
from model_export.export.verify import FP32_TOLERANCE
from model_export.nn.heads import HEADS
from model_export.patterns.registry import PATTERNS
from model_export.pipeline import ExportOptions, export_checkpoint


class _Lengths(click.ParamType[tuple[int, ...]]):
    """Comma-separated numbers of tokens."""

    name = "lengths"

    def convert(
        self, value: str | tuple[int, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers like 128,256,704", param, ctx)


@click.command("export")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--output", required=True, type=click.Path(path_type=Path), help="Folder of the bundle to make.")
@click.option("--task", type=click.Choice(list(HEADS)), help="Taken from the checkpoint's architectures when absent.")
@click.option(
    "--buckets",
    type=_Lengths(),
    help="Padded lengths in tokens, for example 128,256,704,1024. Derived from the configuration when absent.",
)
@click.option(
    "--pattern",
    type=click.Choice(list(PATTERNS)),
    default="transformers",
    show_default=True,
    help="Which implementation's random blocks to reproduce.",
)
@click.option(
    "--pair-types",
    type=click.Choice(["segments", "zeros"]),
    default="segments",
    show_default=True,
    help="Token types of a text and its text_pair: 0 and 1, or zeros as transformers' tokenizer gives.",
)
@click.option(
    "--precision", type=click.Choice(["fp32"]), default="fp32", show_default=True, help="Number format of the graphs."
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0, min_open=True),
    default=FP32_TOLERANCE,
    show_default=True,
    help="Largest absolute difference of logits between a graph and torch.",
)
@click.option("--overwrite", is_flag=True, help="Replace the output folder once the new bundle is complete.")
def command(
    checkpoint: Path,
    output: Path,
    task: str | None,
    buckets: tuple[int, ...] | None,
    pattern: str,
    pair_types: Literal["segments", "zeros"],
    precision: str,
    tolerance: float,
    overwrite: bool,
) -> None:
    """Export CHECKPOINT, a folder with config.json, model.safetensors and spiece.model.

    Every bucket is compared with torch before the bundle is put in place.
    """
    # Ended from outside, an export cleans up like after any failure.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + signal.SIGTERM))
    options = ExportOptions(task=task, buckets=buckets, pattern=pattern, pair_types=pair_types, tolerance=tolerance)
    try:
        manifest = export_checkpoint(checkpoint, output, options, overwrite=overwrite)
    except (ExportError, OSError) as error:
        raise click.ClickException(str(error)) from error
    worst = max(bucket.parity.max_abs_difference for bucket in manifest.buckets)
    click.echo(
        f"{output}: {manifest.task}, {len(manifest.buckets)} buckets up to {manifest.max_length} tokens, "
        f"pattern {manifest.pattern}, largest difference from torch {worst:.2g}"
    )
