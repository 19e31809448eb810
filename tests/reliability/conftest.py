"""The demo bundles for the areas that serve them, exported once for all tests that use them."""

import os
from pathlib import Path

import pytest

from tests.end_to_end.conftest import bundles
from tests.reliability.served import BUNDLES_VARIABLE

__all__ = ["bundles"]


@pytest.fixture
def demo_bundles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let areas find them as the soak does, which may have exported them already."""
    if BUNDLES_VARIABLE not in os.environ:
        monkeypatch.setenv(BUNDLES_VARIABLE, str(request.getfixturevalue("bundles")))
    return Path(os.environ[BUNDLES_VARIABLE])
