"""What is built and checked from `pyproject.toml` and the workflow."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_wheel_holds_what_is_served_and_no_demo_generator(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    packages = {entry.name for entry in ROOT.iterdir() if (entry / "__init__.py").is_file()}
    for name in packages:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "results", ".cache"))
    command = [
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(tmp_path),
        str(source),
    ]
    subprocess.run([sys.executable, "-m", *command], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    files = set(zipfile.ZipFile(wheel).namelist())
    held = {file.split("/")[0] for file in files if not file.split("/")[0].endswith(".dist-info")}
    served = {"bigbird_cli", "bigbird_inference", "bulk", "documents", "evaluation", "finetuning", "model_export"}
    assert held == {*served, "service"}
    assert {"bigbird_inference/manifest.schema.json", "service/py.typed"} <= files
    page = {f"service/{path.relative_to(ROOT / 'service')}" for path in (ROOT / "service" / "playground").rglob("*.*")}
    assert len(page) > 20 and page <= files


def test_workflow_fits_its_schema() -> None:
    tool = Path(sys.executable).parent / "check-jsonschema"
    command = [tool, "--builtin-schema", "vendor.github-workflows", ".github/workflows/ci.yml"]
    ended = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_workflow_runs_every_python_that_is_claimed() -> None:
    claimed = [line.rsplit(" ", 1)[1] for line in PROJECT["project"]["classifiers"] if ":: 3." in line]
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert f"python: [{', '.join(f'{version!r}' for version in claimed)}]".replace("'", '"') in workflow
