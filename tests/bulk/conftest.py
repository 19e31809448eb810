"""Bundles of every task that run in milliseconds, and texts for them."""

from pathlib import Path

import pytest

from tests.reliability.small_bundles import write_small_bundles


@pytest.fixture(scope="session")
def small_bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    write_small_bundles(folder)
    return folder
