"""What is noticed of a bundle's files after they were compared with their hashes."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bigbird_inference.bundle_files import FileState, check_file, ensure_same_files
from bigbird_inference.errors import BundleError
from service.models.bundle_watch import BundleWatch

CONTENT = b"0123456789" * 1000
# SHA-256 of CONTENT, from sha256sum.
DIGEST = "4c207598af7a20db0e3334dd044399a40e467cb81b37f7ba05a4f76dcbd8fd59"


@pytest.fixture
def file(tmp_path: Path) -> FileState:
    path = tmp_path / "weights.bin"
    path.write_bytes(CONTENT)
    os.utime(path, (1, 1))  # so that every later writing changes the time, however coarse the clock
    return check_file(tmp_path, path.name, len(CONTENT), DIGEST, "manifest.json")


def _truncate(path: Path) -> None:
    os.truncate(path, 10)


def _grow(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"more")


def _write_into(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.write(b"X")


def _write_over(path: Path) -> None:
    path.write_bytes(bytes(len(CONTENT)))


def _replace(path: Path) -> None:
    path.with_name("new").write_bytes(b"another file")
    path.with_name("new").rename(path)


def _remove(path: Path) -> None:
    path.unlink()


def _move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def _touch(path: Path) -> None:
    path.touch()


def _copy_the_same_over(path: Path) -> None:
    path.write_bytes(CONTENT)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(_truncate, "it had 10000 bytes and has 10", id="shortened"),
        pytest.param(_grow, "it had 10000 bytes and has 10004", id="longer"),
        pytest.param(_write_into, "was written to", id="one byte"),
        pytest.param(_write_over, "was written to", id="another file copied over it"),
    ],
)
def test_writing_into_a_served_file_is_noticed(file: FileState, change: Callable[[Path], None], said: str) -> None:
    watch = BundleWatch()
    assert watch.damaged({"qa": [file], "other": []}) == {}
    change(file.path)
    damaged = watch.damaged({"qa": [file], "other": []})
    assert list(damaged) == ["qa"]
    assert damaged["qa"].startswith(f"{file.path}: ") and said in damaged["qa"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_replace, id="replaced by another file"),
        pytest.param(_remove, id="removed"),
        pytest.param(_move_folder, id="moved with its folder"),
        pytest.param(_touch, id="touched"),
        pytest.param(_copy_the_same_over, id="written again with the same contents"),
    ],
)
def test_what_does_not_change_the_mapped_contents_is_no_damage(file: FileState, change: Callable[[Path], None]) -> None:
    change(file.path)
    assert BundleWatch().damaged({"qa": [file]}) == {}


def test_a_file_that_gets_its_contents_back_is_whole_again(file: FileState) -> None:
    watch = BundleWatch()
    _truncate(file.path)
    assert watch.damaged({"qa": [file]})
    file.path.write_bytes(CONTENT)
    assert watch.damaged({"qa": [file]}) == {}


def test_a_touched_file_is_read_again_once(file: FileState, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    monkeypatch.setattr(
        "service.models.bundle_watch.same_contents", lambda state: bool(read.append(state.path)) or True
    )
    watch = BundleWatch()
    _touch(file.path)
    assert [watch.damaged({"qa": [file]}) for _ in range(3)] == [{}, {}, {}]
    assert read == [file.path]


@pytest.mark.parametrize("change", [_truncate, _write_into, _replace, _remove], ids=lambda change: change.__name__)
def test_a_file_that_changes_before_it_is_loaded_is_named(file: FileState, change: Callable[[Path], None]) -> None:
    ensure_same_files([file])
    change(file.path)
    with pytest.raises(BundleError, match=r"weights\.bin: was changed or replaced while the bundle was loaded"):
        ensure_same_files([file])


def test_a_file_of_another_size_is_refused_without_reading_it(tmp_path: Path) -> None:
    """A sparse file of eight terabytes would take years to hash."""
    with (tmp_path / "weights.bin").open("wb") as stream:
        stream.truncate(2**43)
    with pytest.raises(BundleError, match=f"it has {2**43} bytes, expected 7$"):
        check_file(tmp_path, "weights.bin", 7, DIGEST, "manifest.json")


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path)
    with pytest.raises(BundleError, match=r"weights\.bin: missing"):
        check_file(tmp_path, "weights.bin", 7, DIGEST, "manifest.json")
