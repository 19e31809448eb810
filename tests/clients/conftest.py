"""What the tests of clients ask, and the clients that our environment does not have; each is there once."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.environment import make_environment
from tests.clients.versions import NODE, PYTHON
from tests.end_to_end.conftest import bundles as bundles
from tests.fake_server import fake_server
from tests.foreign_programs import find_program
from tests.made_once import made_once


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """A server of a fake model of every task, which everybody may ask."""
    with fake_server() as url:
        yield url


@pytest.fixture(scope="session")
def other_environment(run_folder: Path) -> Path:
    """The folder of programs of an environment with clients whose needs must not change ours."""
    extras = {"tritonclient": "[http]"}
    wanted = [f"{name}{extras.get(name, '')}=={version}" for name, version in PYTHON.items()]
    return made_once(run_folder / "clients", lambda folder: make_environment(folder, *wanted)) / "bin"


@pytest.fixture(scope="session")
def node_folder(run_folder: Path) -> Path:
    """A folder whose `node_modules` has the clients from npm: scripts in it can import them."""
    npm = find_program("npm", package="npm")
    wanted = [f"{name}@{version}" for name, version in NODE.items()]
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]

    def install(folder: Path) -> None:
        subprocess.run([npm, "install", "--prefix", folder, *options, *wanted], check=True, timeout=300)

    return made_once(run_folder / "node", install)
