"""Packages of npm and Debian, whose clients are stood in for by scripts; `test_real_models` asks pip itself."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.packages import Package, PackageError, download, files_of_debian_package

CONTENT = b"a package"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH, but for what scripts need."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", os.pathsep.join([str(folder), "/usr/bin", "/bin"]))
    return folder


def stand_in(programs: Path, name: str, script: str) -> None:
    (programs / name).write_text(f"#!/bin/sh\n{script}\n")
    (programs / name).chmod(0o755)


def package(**fields: object) -> Package:
    values = {"registry": "npm", "name": "@a/b", "version": "1.0", "sha256": hashlib.sha256(CONTENT).hexdigest()}
    return Package(**{**values, "megabytes": 1, **fields})  # type: ignore[arg-type]


def test_a_package_is_downloaded_once(programs: Path, tmp_path: Path) -> None:
    stand_in(programs, "npm", 'test "$*" = "pack --silent --ignore-scripts @a/b@1.0" && printf "a package" > b-1.0.tgz')
    file = download(package(), tmp_path / "kept")
    assert file.read_bytes() == CONTENT
    stand_in(programs, "npm", "exit 1")
    assert download(package(), tmp_path / "kept") == file
    assert list((tmp_path / "kept").iterdir()) == [file]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        pytest.param("printf other > b.tgz", "has another hash than when it was tried", id="another file"),
        pytest.param("echo warning >&2; echo 'npm error code E404' >&2; exit 1", "npm error code E404", id="refused"),
        pytest.param("exit 3", "status 3", id="refused without a word"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(programs: Path, tmp_path: Path, script: str, message: str) -> None:
    stand_in(programs, "npm", script)
    with pytest.raises(PackageError, match=message) as caught:
        download(package(), tmp_path / "kept")
    assert str(caught.value).startswith("@a/b 1.0 (npm, 1 MB) ")
    assert len(str(caught.value).splitlines()) == 1
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_client_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackageError, match="apt-get is not installed"):
        download(package(registry="debian"), tmp_path / "kept")


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")
def test_files_of_a_debian_package_come_by_name_without_links(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        "Package: tiny\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: tiny\n"
    )
    for name in ("b", "a"):
        (tree / name).write_text(name)
    (tree / "link").symlink_to("a")
    subprocess.run(["dpkg-deb", "--build", str(tree), str(tmp_path / "tiny.deb")], check=True, capture_output=True)
    found = list(files_of_debian_package(tmp_path / "tiny.deb"))
    assert [(Path(name).name, content) for name, content in found] == [("a", b"a"), ("b", b"b")]
