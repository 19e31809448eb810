"""The demo checkpoints, exported and served by the real commands in processes of their own."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from benchmarks.running_server import RunningServer, running_server

ROOT = Path(__file__).resolve().parents[2]
TASKS = ("qa", "classify", "ner")
# Few buckets, so that exporting takes seconds; the longest is below what the model could read, so windows are needed.
BUCKETS = "64,128,704,1024,2048"


@pytest.fixture(scope="session")
def bundles(run_folder: Path) -> Path:
    folder = run_folder / "bundles"
    # One of the processes exports.
    with FileLock(f"{folder}.lock"):
        exports = [_export(task, folder) for task in TASKS if not (folder / f"demo-{task}").exists()]
        assert [export.wait() for export in exports] == [0] * len(exports)
    return folder


def _export(task: str, folder: Path) -> subprocess.Popen[bytes]:
    checkpoint = ROOT / "examples" / "checkpoints" / f"demo-{task}"
    command = ["export", str(checkpoint), "--output", str(folder / f"demo-{task}"), "--buckets", BUCKETS]
    return subprocess.Popen([sys.executable, "-m", "bigbird_cli", *command], cwd=ROOT)


@pytest.fixture(scope="session")
def server(bundles: Path) -> Iterator[RunningServer]:
    """In onnxruntime, whatever else is installed; the exports have measured that, too."""
    with running_server(bundles, {"BIGBIRD_CPU_RUNTIME": "onnxruntime", "BIGBIRD_WARM_UP_SECONDS": "1"}) as running:
        yield running
