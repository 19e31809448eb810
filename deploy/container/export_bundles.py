#!/usr/bin/env python3
"""Export what docker-compose.yml was asked to serve, and nothing that is there already.

The one-shot service `export` runs this before the server starts. It calls `bigbird export` for each checkpoint and
leaves a note beside the bundle of what was asked; as long as that, the checkpoint's files and our version are the same,
the bundle stays. Everything comes from variables:

    CHECKPOINT_FOLDER  folder with checkpoints, one folder for each (in the image: the demo checkpoints)
    BUNDLE_FOLDER      folder of bundles (in the image: /models)
    MODEL              what to export: a folder, in CHECKPOINT_FOLDER unless its path is absolute, or the id of a model
                       on the Hugging Face hub; when empty, every folder in CHECKPOINT_FOLDER
    MODEL_NAME         name of the bundle, by which requests ask for it; when empty, the last part of MODEL
    TASK, PRECISION, ATTENTION, PATTERN, BUCKETS
                       the options of `bigbird export` of the same names; when empty, its defaults
    AGAIN              anything: export even what is up to date
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

OPTIONS = ("TASK", "PRECISION", "ATTENTION", "PATTERN", "BUCKETS")


@dataclass(frozen=True, slots=True)
class Export:
    """One call of `bigbird export`, and what its outcome depends on.

    Attributes:
        checkpoint: A folder, or an id on the hub.
        name: The bundle's folder name.
        options: Arguments of the command.
        files: Name, size and time of change of everything in the checkpoint's folder; empty for the hub.
        version: Of the package that exports.
    """

    checkpoint: str
    name: str
    options: tuple[str, ...]
    files: tuple[tuple[str, int, int], ...]
    version: str


def planned(environment: Mapping[str, str], version: str) -> list[Export]:
    """Return the exports that the variables ask for, by name.

    Raises:
        SystemExit: They ask for something that cannot be; the message names the variable.
    """
    folder = Path(environment.get("CHECKPOINT_FOLDER") or "checkpoints")
    model, name = environment.get("MODEL", ""), environment.get("MODEL_NAME", "")
    if Path(name).name != name or name.startswith("."):
        raise SystemExit(f"MODEL_NAME: {name!r} is not the name of a folder that is served")
    if model:
        inside = folder / model
        checkpoints = [str(inside) if inside.is_dir() else model]
    elif name:
        raise SystemExit("MODEL_NAME needs MODEL: it names one bundle")
    else:
        checkpoints = [str(path) for path in sorted(folder.glob("[!.]*")) if path.is_dir()]
        if not checkpoints:
            raise SystemExit(f"CHECKPOINT_FOLDER: {folder} has no folder in it, and MODEL is not set")
    options = tuple(f"--{key.lower()}={environment[key]}" for key in OPTIONS if environment.get(key))
    return [
        Export(checkpoint, name or _name(checkpoint), options, tuple(_files(Path(checkpoint))), version)
        for checkpoint in checkpoints
    ]


def _name(checkpoint: str) -> str:
    """Return the last part of a path, or of an id without its revision and folder."""
    return Path(checkpoint if Path(checkpoint).is_dir() else re.split("[@:]", checkpoint)[0]).name


def _files(checkpoint: Path) -> Iterable[tuple[str, int, int]]:
    if not checkpoint.is_dir():
        return
    for path in sorted(checkpoint.rglob("*")):
        if path.is_file():
            status = path.stat()
            yield str(path.relative_to(checkpoint)), status.st_size, status.st_mtime_ns


def is_up_to_date(export: Export, bundles: Path) -> bool:
    """Tell whether the bundle is there and its note says that it came from the same."""
    try:
        note = json.loads(_note(export, bundles).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return (bundles / export.name / "manifest.json").is_file() and note == _noted(export)


def run(export: Export, bundles: Path) -> int:
    """Export, replacing the bundle of that name once the new one is complete; return the exit status."""
    output = bundles / export.name
    command = [sys.executable, "-m", "bigbird_cli", "export", export.checkpoint, f"--output={output}", "--overwrite"]
    with subprocess.Popen([*command, *export.options]) as process:
        # As the container's first process we would ignore the order to stop; the export cleans up after itself.
        signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())
        status = process.wait()
    if status == 0:
        _note(export, bundles).write_text(json.dumps(_noted(export), indent=1), encoding="utf-8")
    return status


def _note(export: Export, bundles: Path) -> Path:
    # The server passes over names that begin with a dot.
    return bundles / f".{export.name}.exported.json"


def _noted(export: Export) -> object:
    """Return the export as it reads after a round through JSON, where a tuple becomes a list."""
    return json.loads(json.dumps(asdict(export)))


def main(environment: Mapping[str, str]) -> int:
    """Run what is planned and not up to date; stop at the first failure."""
    bundles = Path(environment.get("BUNDLE_FOLDER") or "models")
    for export in planned(environment, metadata.version("bigbird-serve")):
        if not environment.get("AGAIN") and is_up_to_date(export, bundles):
            print(f"{bundles / export.name}: up to date", flush=True)
        elif status := run(export, bundles):
            # A process that was ended by a signal has a negative one, which no program can exit with.
            return abs(status)
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
