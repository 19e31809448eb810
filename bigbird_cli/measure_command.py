"""`bigbird measure`: what the runtimes that are installed here make of finished bundles."""

from pathlib import Path

import click

from bigbird_cli.cpu_run_figures import described
from bigbird_inference.extras import install_command
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
            click.echo("\n".join(f"{bundle.name}: {described(run)}" for run in measure_bundle(bundle)))
        except ExportError as error:
            raise click.ClickException(str(error)) from error
