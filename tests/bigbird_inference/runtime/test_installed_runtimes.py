from pathlib import Path

import pytest

from bigbird_inference.runtime.devices import conflicting_runtimes


def install(site_packages: Path, name: str) -> None:
    """Leave what pip leaves of a distribution: its metadata."""
    folder = site_packages / f"{name.replace('-', '_')}-1.31.1.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.31.1\n", encoding="utf-8")


@pytest.fixture
def site_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    return tmp_path


@pytest.mark.parametrize("name", ["onnxruntime", "onnxruntime-gpu"])
def test_one_distribution_is_fine(site_packages: Path, name: str) -> None:
    install(site_packages, name)
    assert conflicting_runtimes() is None


def test_no_distribution_under_a_known_name_is_no_conflict(site_packages: Path) -> None:
    assert conflicting_runtimes() is None


def test_two_distributions_are_both_named_and_the_way_out_is_told(site_packages: Path) -> None:
    install(site_packages, "onnxruntime-gpu")
    install(site_packages, "onnxruntime")
    assert conflicting_runtimes() == (
        "onnxruntime and onnxruntime-gpu are installed together and overwrite each other: run "
        "`pip uninstall --yes onnxruntime onnxruntime-gpu`, then install exactly one, with the extra `cpu` or the "
        "extra `gpu`"
    )
