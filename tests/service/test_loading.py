from pathlib import Path

import pytest

from service.bundle import write_manifest
from service.errors import BundleError
from service.loading import find_bundles, load_models
from service.settings import Settings
from tests.service.fake_model import fake_manifest


def write_bundle(folder: Path) -> Path:
    folder.mkdir()
    write_manifest(fake_manifest("ner"), folder)
    return folder


def test_every_folder_with_a_manifest_is_a_bundle(tmp_path: Path) -> None:
    second, first = write_bundle(tmp_path / "second"), write_bundle(tmp_path / "first")
    (tmp_path / "notes").mkdir()
    assert find_bundles(tmp_path) == [first, second]


def test_a_folder_that_is_a_bundle_is_taken_itself(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "one")
    assert find_bundles(folder) == [folder]


def test_a_folder_without_bundles_stops_the_start_by_name(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no bundle in it") as error:
        load_models(Settings(models=tmp_path))
    assert str(tmp_path) in str(error.value)
    with pytest.raises(BundleError, match="no such folder"):
        load_models(Settings(models=tmp_path / "missing"))


def test_a_missing_file_stops_the_start_by_name(tmp_path: Path) -> None:
    write_bundle(tmp_path / "one")
    with pytest.raises(BundleError, match=r"weights\.bin: missing"):
        load_models(Settings(models=tmp_path))
