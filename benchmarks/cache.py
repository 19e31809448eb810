"""What the benchmarks measure and is slow to make, kept in `benchmarks/.cache`.

It is made again when the files or the packages that it comes from change.
"""

import fcntl
import hashlib
import importlib.metadata
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

CACHE = Path(__file__).resolve().parent / ".cache"

_PACKAGES = (
    "nncf",
    "numpy",
    "onnx",
    "onnx-ir",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxscript",
    "openvino",
    "torch",
    "transformers",
)


def cached(
    name: str, sources: Iterable[Path], make: Callable[[Path], object], packages: Iterable[str] = _PACKAGES
) -> Path:
    """Return a folder that `make` filled from these sources, now or earlier.

    One process at a time makes it, others wait and find it made. What was made under the same name from other sources
    is removed; a process that has its files open keeps them.

    Args:
        name: Of what is made; the folder has it as a prefix.
        sources: The files that decide what is made, code included.
        make: Makes the folder that it is given, which is not there yet.
        packages: Distributions whose versions decide as well.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = CACHE / f"{name}@{_digest(sources, packages)}"
        if not folder.exists():
            building = CACHE / f".{name}"
            shutil.rmtree(building, ignore_errors=True)
            make(building)
            building.rename(folder)
            for other in CACHE.glob(f"{name}@*"):
                if other != folder:
                    shutil.rmtree(other)
    return folder


def _digest(sources: Iterable[Path], packages: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for package in packages:
        digest.update(f"{package} {_version(package)}\n".encode())
    for file in sources:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _version(package: str) -> str:
    """Return what is installed: a GPU host has onnxruntime-gpu for onnxruntime, and transformers need not be there."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
