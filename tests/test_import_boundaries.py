"""What importing a part brings with it; which module may import which is checked by `lint-imports`."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_the_export_half_never_imports_the_web_framework() -> None:
    script = (
        "import sys, model_export.pipeline; print([m for m in sys.modules if m in ('fastapi', 'starlette', 'uvicorn')])"
    )
    printed = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"


@pytest.fixture
def packages_without_torch(tmp_path: Path) -> Path:
    """A folder with every installed package except those of the export extra."""
    left_out = ("torch", "functorch", "torchgen", "onnx", "onnx_ir", "onnxscript", "safetensors", "transformers")
    site = Path(pytest.__file__).parents[1]
    for entry in site.iterdir():
        if entry.name.split("-")[0].split(".")[0] not in left_out and entry.suffix != ".pth":
            (tmp_path / entry.name).symlink_to(entry)
    return tmp_path


def test_the_service_imports_in_an_environment_without_torch(packages_without_torch: Path) -> None:
    script = (
        "import importlib.util, service.process.server, service.app\n"
        "import bigbird_cli.serve_command, bigbird_cli.inspect_command\n"
        "assert importlib.util.find_spec('torch') is None\n"
        "assert importlib.util.find_spec('onnx') is None\n"
        "print('served without torch')"
    )
    printed = subprocess.run(
        [sys.executable, "-S", "-c", script],
        cwd=ROOT,
        env={"PYTHONPATH": str(packages_without_torch), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert printed.stdout.strip() == "served without torch", printed.stderr


def test_the_command_line_says_which_extra_is_missing(packages_without_torch: Path) -> None:
    printed = subprocess.run(
        [sys.executable, "-S", "-m", "bigbird_cli", "export", "examples/checkpoints/demo-qa", "--output", "bundle"],
        cwd=ROOT,
        env={"PYTHONPATH": str(packages_without_torch), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert printed.returncode == 1
    assert "`bigbird export` needs the package" in printed.stderr
    assert f"pip install '{ROOT}[export,cpu]'" in printed.stderr
