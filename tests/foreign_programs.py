"""Programs and packages that are not ours: without one a test is skipped, or fails where all are expected."""

import importlib.util
import os
import shutil

import pytest

# Set by the continuous integration.
REQUIRED = "BIGBIRD_TESTS_REQUIRE_PROGRAMS"


def find_program(name: str, package: str) -> str:
    """Return the path of a program.

    Args:
        name: How it is called.
        package: What Debian and Ubuntu have it in.
    """
    found = shutil.which(name)
    if found is None:
        reason = f"{name} is not installed; Debian and Ubuntu have it in the package `{package}`"
        if os.environ.get(REQUIRED):
            pytest.fail(f"{reason} ({REQUIRED} is set)")
        pytest.skip(reason)
    return found


def need_package(name: str) -> None:
    """Have a test only where an optional package is installed; nothing is imported."""
    if importlib.util.find_spec(name) is None:
        reason = f"the package {name} is not installed"
        if os.environ.get(REQUIRED):
            pytest.fail(f"{reason} ({REQUIRED} is set)")
        pytest.skip(reason)
