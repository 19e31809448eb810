"""Write `requirements/<group>.txt`: every package that an image installs, with its version and the hashes of its files.

Versions say what we meant to install; hashes make sure that it is that, whoever serves it. pip checks them in the build
(`--require-hashes`) and refuses whatever is not listed. The versions are those of constraints.txt: after changing that
file or an extra of pyproject.toml, run

    pip install uv
    python3 deploy/container/lock_requirements.py

with a network; uv asks the package index for the hashes. The files are for Linux on x86-64 and the images' Python.
"""

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from list_requirements import requirements

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "container" / "requirements"
GROUPS = {
    "cpu": ["cpu", "documents", "openvino", "tracing"],
    "gpu": ["gpu", "documents", "tracing"],
    "export": ["cpu", "export", "nncf"],
    "hub": ["hub"],
    "tensorflow": ["tensorflow"],
}
# torch and what its build for CUDA brings, which the build for CPUs of another index does without.
_WITH_CUDA = re.compile(r"torch|triton|cuda-.*|nvidia-.*")
_HEAD = "# Written by deploy/container/lock_requirements.py, from pyproject.toml and constraints.txt.\n"
_RESOLVE = ["uv", "pip", "compile", "--quiet", "--no-config", "--no-annotate", "--no-header", "--generate-hashes"]
_TARGET = ["--python-version", "3.11", "--python-platform", "x86_64-unknown-linux-gnu", "--only-binary", ":all:"]


def main() -> None:
    """Write all files."""
    FOLDER.mkdir(exist_ok=True)
    for group, extras in GROUPS.items():
        entries = list(_locked(requirements(ROOT / "pyproject.toml", extras)))
        if group == "export":
            _write("torch", [entry for entry in entries if _WITH_CUDA.fullmatch(_name(entry))])
            entries = [entry for entry in entries if not _WITH_CUDA.fullmatch(_name(entry))]
        _write(group, entries)
    # What our own code is built with.
    _write("build", list(_locked(["setuptools"])))


def _locked(required: Sequence[str]) -> Iterator[str]:
    """Yield `name==version` with its hashes, for everything that these requirements need."""
    done = subprocess.run(
        [*_RESOLVE, *_TARGET, "--constraint", str(ROOT / "constraints.txt"), "-"],
        input="\n".join(required),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    yield from re.findall(r"^\S+==(?:.*\\\n)*.*\n", done.stdout, re.MULTILINE)


def _name(entry: str) -> str:
    return entry.partition("==")[0]


def _write(group: str, entries: Sequence[str]) -> None:
    (FOLDER / f"{group}.txt").write_text(_HEAD + "".join(entries), encoding="utf-8")
    print(f"{group}: {len(entries)} packages")


if __name__ == "__main__":
    main()
