"""Triton's own client against the real server, in an environment of its own: it needs older packages than we do."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fake_server import fake_server

pytestmark = pytest.mark.integration

ASK = Path(__file__).with_name("ask_triton.py")
CLIENT = "tritonclient[http]==2.73.0"


def test_answers_are_the_native_ones_and_errors_are_told(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", CLIENT], check=True, timeout=300)
    with fake_server() as url:
        done = subprocess.run([python, ASK, url], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["described", "JSON", "binary", "everything", "errors"]
