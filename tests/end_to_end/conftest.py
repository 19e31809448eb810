"""The demo checkpoints, exported and served by the real commands in processes of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.running_server import RunningServer, running_server
from tests.demo_bundles import export_demos

# Few buckets, so that exporting takes seconds; the longest is below what the model could read, so windows are needed.
BUCKETS = (64, 128, 704, 1024, 2048)


@pytest.fixture(scope="session")
def bundles(run_folder: Path) -> Path:
    folder = run_folder / "bundles"
    export_demos(folder, BUCKETS)
    return folder


@pytest.fixture(scope="session")
def server(bundles: Path) -> Iterator[RunningServer]:
    """In onnxruntime, whatever else is installed; the exports have measured that, too."""
    with running_server(bundles, {"BIGBIRD_CPU_RUNTIME": "onnxruntime"}) as running:
        yield running
