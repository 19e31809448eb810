"""Take packages from the registries of Python, Node and Debian, by name, version and hash.

What a package depends on is not taken, and nothing in it is run.
"""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Registry = Literal["pypi", "npm", "debian"]

# A wheel that is built for one kind of machine is taken for this one, wherever it is unpacked.
_ONE_MACHINE = ["--platform", "manylinux_2_28_x86_64", "--python-version", "3.11"]


@dataclass(frozen=True, slots=True)
class Package:
    """One file of a registry.

    Attributes:
        registry: Whose client downloads it: pip, npm or apt-get.
        name: In the registry.
        version: That was tried.
        sha256: Of the file.
        megabytes: Of the file.
        built: Whether it holds compiled code; the wheel for Linux on x86-64 is taken then.
    """

    registry: Registry
    name: str
    version: str
    sha256: str
    megabytes: int
    built: bool = False

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.registry}, {self.megabytes} MB)"


class PackageError(Exception):
    """A package cannot be had, or is not what it was; one line."""


def download(package: Package, folder: Path) -> Path:
    """Return the package's file in a folder, downloaded if it is not there yet.

    Raises:
        PackageError: It cannot be downloaded, or has another hash.
    """
    target = folder / f"{package.name.replace('/', '+')}-{package.version}"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".downloading-") as scratch:
        command = _command(package, Path(scratch))
        if shutil.which(command[0]) is None:
            raise PackageError(f"{package} cannot be downloaded: {command[0]} is not installed")
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
        found = [file for file in Path(scratch).iterdir() if file.suffix in (".whl", ".tgz", ".deb")]
        if done.returncode or len(found) != 1:
            raise PackageError(f"{package} cannot be downloaded: {_cause(done)}")
        if hashlib.sha256(found[0].read_bytes()).hexdigest() != package.sha256:
            raise PackageError(f"{package} has another hash than when it was tried")
        os.replace(found[0], target)
    return target


def _command(package: Package, scratch: Path) -> Sequence[str]:
    match package.registry:
        case "npm":
            return ["npm", "pack", "--silent", "--ignore-scripts", f"{package.name}@{package.version}"]
        case "debian":
            return ["apt-get", "download", "--quiet", f"{package.name}={package.version}"]
        case "pypi":
            requirements = scratch / "requirements.txt"
            requirements.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
            options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--retries", "1", "--timeout", "20"]
            silent = ["--quiet", "--disable-pip-version-check", "--no-input"]
            machine = _ONE_MACHINE if package.built else []
            return [sys.executable, "-m", "pip", "download", *silent, *options, *machine, "-r", requirements.name]


def _cause(done: subprocess.CompletedProcess[str]) -> str:
    """Return the first line in which a client says what went wrong."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR: ", "E: ", "npm error", "npm ERR!"))]
    return (errors or lines or [f"status {done.returncode}"])[0].removeprefix("ERROR: ")[:300]


def files_of_debian_package(file: Path) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of the files in a package of Debian, by name; links are left out."""
    command = ["dpkg-deb", "--fsys-tarfile", str(file)]
    unpacked = subprocess.run(command, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as package:
        for member in sorted(package.getmembers(), key=lambda member: member.name):
            content = package.extractfile(member) if member.isfile() else None
            if content is not None:
                yield member.name, content.read()
