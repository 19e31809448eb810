"""The oldest versions that pyproject.toml allows, all at once: with them a checkpoint is exported, served and asked."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx
import pytest
from packaging.requirements import Requirement

from benchmarks.running_server import running_command

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("cpu", "export", "evaluate", "hub")
CHECKPOINT = ROOT / "examples" / "checkpoints" / "demo-qa"

pytestmark = pytest.mark.slow  # an environment of its own


def floors() -> list[str]:
    """Return a constraint for each lower bound of what is installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in EXTRAS for line in project["optional-dependencies"][extra])]
    requirements = map(Requirement, lines)
    return [
        f"{requirement.name}=={bound.version}"
        for requirement in requirements
        for bound in requirement.specifier
        if bound.operator == ">="
    ]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the oldest versions."""
    folder = tmp_path_factory.mktemp("floors")
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(floors()), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    programs = folder / "venv" / "bin"
    subprocess.run(
        [programs / "python", "-m", "pip", "install", "-q", "-c", constraints, f"{ROOT}[{','.join(EXTRAS)}]"],
        check=True,
    )
    return programs


def test_the_oldest_versions_export_serve_and_answer(programs: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    export = [programs / "bigbird", "export", CHECKPOINT, "--output", tmp_path / "demo-qa", "--buckets", "128,704,1024"]
    subprocess.run(export, check=True, cwd=tmp_path, env=environment)
    serve = [str(programs / "bigbird"), "serve", "--models", str(tmp_path), "--port", "0"]
    body = json.loads((ROOT / "examples" / "requests" / "qa-inspection.json").read_text(encoding="utf-8"))
    expected = json.loads((ROOT / "examples" / "expected.json").read_text(encoding="utf-8"))["qa-inspection.json"]
    with running_command(serve, {"PYTHONPATH": "", "BIGBIRD_WARM_UP_SECONDS": "0"}) as server:
        answer = httpx.post(f"{server.url}/qa", json=body, timeout=120).raise_for_status().json()
    assert answer["answer"] == expected
