"""`bigbird measure`: what the runtimes that are installed here make of finished bundles."""

from pathlib import Path

import click

from bigbird_inference.extras import install_command
from bigbird_inference.manifest import CpuRun
from bigbird_inference.runtime import quiet_openvino
from model_export.errors import ExportError
from model_export.remeasure import measure_bundle


@click.command("measure")
@click.argument("bundles", nargs=-1, required=True, type=click.Path(path_type=Path))
def command(bundles: tuple[Path, ...]) -> None:
    """Measure each of BUNDLES in OpenVINO, and put a bundle with the figures in its place.

    `bigbird export` does it where OpenVINO is installed; this is for bundles that were made elsewhere. The service runs
    a bundle in OpenVINO by itself only with these figures.
    """
    if not quiet_openvino.installed():
        raise click.ClickException(f"OpenVINO is not installed: {install_command('openvino')}")
    for bundle in bundles:
        try:
            click.echo("\n".join(f"{bundle.name}: {_described(run)}" for run in measure_bundle(bundle)))
        except ExportError as error:
            raise click.ClickException(str(error)) from error


def _described(run: CpuRun) -> str:
    compared = [parity for bucket in run.buckets for parity in bucket.parity]
    largest = max(parity.max_abs_difference / (parity.logits_std or 1) for parity in compared)
    agreements = [parity.agreement for parity in compared if parity.agreement is not None]
    same = f", {min(agreements):.2%} of decisions the same" if agreements else ""
    return f"OpenVINO {run.version} in {run.precision}: largest difference {largest:.2g} standard deviations{same}"
