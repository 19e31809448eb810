"""Both ends of the supported range of uvicorn: `service.process.connections` builds on parts that it does not promise.

The newest is the one that everything else runs on. The oldest is installed into a folder of its own here.
"""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import uvicorn

ROOT = Path(__file__).resolve().parents[3]
(REQUIREMENT,) = (
    line
    for line in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    if line.startswith("uvicorn")
)
OLDEST, ABOVE = re.findall(r"[\d.]+", REQUIREMENT)
TESTS = (
    "tests/service/process/test_connections.py",
    "tests/service/process/test_pipelined_requests.py",
    "tests/service/process/test_server_protocols.py",
    "tests/service/process/test_in_flight_requests.py",
)


def test_the_newest_supported_is_the_one_that_is_installed() -> None:
    installed = [int(part) for part in uvicorn.__version__.split(".")[:2]]
    assert installed == [0, int(ABOVE.split(".")[1]) - 1]


@pytest.mark.integration
def test_the_oldest_supported_bounds_connections_as_well(tmp_path: Path) -> None:
    install = ["pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path), f"uvicorn=={OLDEST}.0"]
    subprocess.run([sys.executable, "-m", *install], check=True)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    version = subprocess.run(
        [sys.executable, "-c", "import uvicorn; print(uvicorn.__version__)"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert version.strip() == f"{OLDEST}.0"
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-4000:]
