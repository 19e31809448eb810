"""OpenVINO as everything here imports it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cpu_runtimes import need_openvino

ROOT = Path(__file__).parents[3]
# Reports its use as the package does, if it can import what does that.
STAND_IN = """
try:
    import openvino_telemetry
    print("it reports")
except ImportError:
    print("it keeps quiet")
"""


def printed(code: str, *folders: Path) -> str:
    paths = "".join(f"sys.path.insert(0, {str(folder)!r}); " for folder in folders)
    command = [sys.executable, "-c", f"import sys; {paths}{code}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def test_its_telemetry_cannot_be_imported(tmp_path: Path) -> None:
    (tmp_path / "openvino.py").write_text(STAND_IN)
    (tmp_path / "openvino_telemetry.py").write_text("print('it is imported')")
    code = "from bigbird_inference.runtime import quiet_openvino as quiet; print(quiet.imported().__name__)"
    assert printed(code, tmp_path) == "it keeps quiet\nopenvino\n"


def test_nothing_is_imported_to_tell_whether_it_is_installed(tmp_path: Path) -> None:
    code = "from bigbird_inference.runtime import quiet_openvino as quiet; print(quiet.installed())"
    assert printed(f"sys.modules['openvino'] = None; {code}") == "False\n"
    (tmp_path / "openvino.py").write_text("raise AssertionError('it is imported')")
    assert printed(code, tmp_path) == "True\n"


@pytest.mark.parametrize(
    "module",
    [
        "bigbird_inference.runtime.cpu_runtime_choice",
        "bigbird_inference.trial",
        "service.process.server",
        "model_export.pipeline",
    ],
)
def test_nothing_imports_it_before_it_is_asked_for(module: str) -> None:
    assert printed(f"import {module}; print([name for name in sys.modules if 'openvino' in name.split('.')[0]])") == (
        "[]\n"
    )


@pytest.mark.integration
def test_the_package_itself_is_imported_without_its_telemetry() -> None:
    need_openvino()
    code = (
        "from bigbird_inference.runtime import openvino_session, quiet_openvino; openvino_session.computes_bfloat16(); "
        "print([name for name in sys.modules if name.startswith('openvino_telemetry') and sys.modules[name]], "
        "quiet_openvino.imported().__version__.startswith(quiet_openvino.version()))"
    )
    assert printed(code) == "[] True\n"
