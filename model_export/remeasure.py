"""Measure the other runtimes of a finished bundle, and put the bundle with their figures in its place."""

import shutil
from dataclasses import replace
from pathlib import Path

from bigbird_inference.bundle import open_bundle, write_manifest
from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import CpuRun
from model_export.errors import ExportError
from model_export.export.cpu_runs import PRECISIONS, measure, unfit_for_measuring
from model_export.export.placement import hidden_folder, put_in_place


def measure_bundle(folder: Path) -> list[CpuRun]:
    """Measure a bundle in every other runtime that is installed, and record it.

    Its graphs were compared with torch when it was exported; now they are what is compared with.

    Args:
        folder: The bundle; it is replaced by one with the same files and another manifest.

    Returns:
        What was recorded.

    Raises:
        ExportError: It cannot be read, no other runtime runs it, or one computes too far off; nothing was changed.
    """
    try:
        bundle = open_bundle(folder)
    except BundleError as error:
        raise ExportError(str(error)) from error
    unfit = unfit_for_measuring(bundle.manifest)
    if unfit is not None:
        raise ExportError(f"{folder}: is not measured in OpenVINO: {unfit}")
    runs = [measure(bundle, precision) for precision in PRECISIONS]
    try:
        with hidden_folder(bundle.folder) as building:
            for file in bundle.files:
                shutil.copy2(bundle.path(file.path.name), building / file.path.name)
            write_manifest(replace(bundle.manifest, cpu_runs=runs), building)
            put_in_place(building, bundle.folder, overwrite=True)
    except OSError as error:
        raise ExportError(f"{error.filename or folder}: {error.strerror or error}") from error
    return runs
