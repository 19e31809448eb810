"""The demo checkpoints as bundles, exported by the real command, each in a process of its own."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).resolve().parents[1]
TASKS = ("qa", "classify", "ner")


def export_demos(folder: Path, buckets: Sequence[int]) -> None:
    """Export those that are not there yet; of several processes one does it."""
    with FileLock(f"{folder}.lock"):
        exports = [_export(task, folder, buckets) for task in TASKS if not (folder / f"demo-{task}").exists()]
        assert [export.wait() for export in exports] == [0] * len(exports)


def _export(task: str, folder: Path, buckets: Sequence[int]) -> subprocess.Popen[bytes]:
    checkpoint = ROOT / "examples" / "checkpoints" / f"demo-{task}"
    command = ["export", str(checkpoint), "--output", str(folder / f"demo-{task}")]
    listed = ",".join(str(length) for length in buckets)
    return subprocess.Popen([sys.executable, "-m", "bigbird_cli", *command, "--buckets", listed], cwd=ROOT)
