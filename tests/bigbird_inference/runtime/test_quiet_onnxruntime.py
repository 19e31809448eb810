"""onnxruntime as everything here imports it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
# Prints as onnxruntime does on some machines, and says whether its telemetry was off by then.
STAND_IN = """
import os
os.write(2, b"\\x1b[0;93m2026-11-28 [W:onnxruntime:Default, device_discovery.cc:164 f] no vendor\\x1b[m\\n")
telemetry = os.environ.get("ORT_DISABLE_TELEMETRY")

def disable_telemetry_events():
    os.write(2, f"told, {telemetry}".encode())
"""


def test_what_it_prints_when_imported_is_nobodys_business(tmp_path: Path) -> None:
    (tmp_path / "onnxruntime.py").write_text(STAND_IN)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import bigbird_inference.runtime.quiet_onnxruntime"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "told, 1")


def test_it_can_be_imported_without_standard_error() -> None:
    code = "import bigbird_inference.runtime.quiet_onnxruntime as quiet; print(quiet.onnxruntime.__name__)"
    command = ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, code]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "onnxruntime\n"
