from pathlib import Path

import pytest

from benchmarks import cache
from benchmarks.cache import cached


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cache, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "source.py"
    file.write_text("first")
    return file


class Maker:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, folder: Path) -> None:
        assert not folder.exists()
        self.calls += 1
        folder.mkdir()
        (folder / "number").write_text(str(self.calls))


def test_what_was_made_is_found_again(source: Path) -> None:
    make = Maker()
    folder = cached("model", [source], make)
    assert cached("model", [source], make) == folder
    assert make.calls == 1


def test_a_changed_source_is_made_again_and_the_old_one_is_removed(source: Path) -> None:
    make = Maker()
    old = cached("model", [source], make)
    source.write_text("second")
    new = cached("model", [source], make)
    assert (new / "number").read_text() == "2"
    assert not old.exists()


def test_another_version_of_a_package_makes_it_again(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Maker()
    old = cached("model", [source], make, ["torch"])
    monkeypatch.setattr("importlib.metadata.version", lambda package: f"{package} of another day")
    assert cached("model", [source], make, ["torch"]) != old


def test_things_of_different_names_stand_side_by_side(source: Path) -> None:
    one, other = cached("base", [source], Maker()), cached("base-704", [source], Maker())
    source.write_text("second")
    cached("base", [source], Maker())
    assert other.exists()
    assert not one.exists()


def test_what_could_not_be_made_leaves_nothing_and_is_tried_again(source: Path) -> None:
    def fail(folder: Path) -> None:
        folder.mkdir()
        raise ValueError("no room")

    with pytest.raises(ValueError, match="no room"):
        cached("model", [source], fail)
    assert cached("model", [source], Maker()).exists()
