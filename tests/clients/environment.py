"""An environment over ours, for clients that need other versions of some packages than we do."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path


def make_environment(folder: Path, *packages: str) -> Path:
    """Install packages where they change nothing of ours, and return the Python that finds them before ours.

    What is here in a version that suits them is not installed again: all that kserve needs is 500 MB.
    """
    venv.create(folder, symlinks=True)
    (own,) = (folder / "lib").glob("python*/site-packages")
    (own / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile"]
    subprocess.run([*pip, *packages], check=True, timeout=300)
    return python
