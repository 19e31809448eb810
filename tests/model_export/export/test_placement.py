"""A bundle takes its place whole, whoever else is there and whatever was left there."""

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model_export.errors import ExportError
from model_export.export import placement
from model_export.export.placement import hidden_folder, put_in_place


@pytest.fixture(params=["in one step", "on a file system that cannot"])
def kind_of_file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file systems here can exchange names; the others are played by a call that does nothing."""
    if request.param != "in one step":
        monkeypatch.setattr(placement, "_renameat2", lambda source, target, flag: False)


def fill(folder: Path, content: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(content)
    (folder / "weights.bin").write_text(content * 1000)
    return folder


def content(folder: Path) -> str:
    """Return what a folder was filled with; it must be all of one piece."""
    text = (folder / "manifest.json").read_text()
    assert (folder / "weights.bin").read_text() == text * 1000
    return text


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "models" / "qa"


def export(output: Path, text: str, *, overwrite: bool = False, meanwhile: Callable[[], object] = int) -> None:
    with hidden_folder(output) as building:
        fill(building, text)
        meanwhile()
        put_in_place(building, output, overwrite=overwrite)


@pytest.mark.usefixtures("kind_of_file_system")
def test_a_bundle_takes_a_free_place(output: Path) -> None:
    export(output, "new")
    assert content(output) == "new"
    assert os.listdir(output.parent) == ["qa"]
    assert stat.S_IMODE(output.stat().st_mode) == 0o755


@pytest.mark.usefixtures("kind_of_file_system")
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_bundle_takes_the_place_of_an_empty_folder(output: Path, overwrite: bool) -> None:
    output.mkdir(parents=True)
    export(output, "new", overwrite=overwrite)
    assert content(output) == "new"


@pytest.mark.usefixtures("kind_of_file_system")
def test_an_empty_folder_that_is_filled_in_the_meantime_is_kept(output: Path) -> None:
    output.mkdir(parents=True)
    with pytest.raises(ExportError, match="qa: is not a bundle and is not replaced"):
        export(output, "new", overwrite=True, meanwhile=lambda: (output / "thesis.txt").write_text("years of work"))
    assert (output / "thesis.txt").read_text() == "years of work"


@pytest.mark.usefixtures("kind_of_file_system")
def test_a_bundle_takes_the_place_of_another(output: Path) -> None:
    export(output, "old")
    export(output, "new", overwrite=True)
    assert content(output) == "new"
    assert os.listdir(output.parent) == ["qa"]


def test_there_is_a_bundle_at_every_moment_of_a_replacement(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call that changes names is followed by a look: what a process that is killed there would leave."""
    export(output, "old")
    seen = []
    rename = placement._renameat2

    def look_after(source: Path, target: Path, flag: int) -> bool:
        seen.append(content(output))
        done = rename(source, target, flag)
        seen.append(content(output))
        return done

    monkeypatch.setattr(placement, "_renameat2", look_after)
    export(output, "new", overwrite=True)
    assert seen == ["old", "new"]


@pytest.mark.usefixtures("kind_of_file_system")
def test_of_two_exports_to_a_free_place_the_first_wins_and_the_other_is_told(output: Path) -> None:
    with pytest.raises(ExportError, match="qa: exists already; remove it or give --overwrite"):
        export(output, "second", meanwhile=lambda: export(output, "first"))
    assert content(output) == "first"
    assert os.listdir(output.parent) == ["qa"]


@pytest.mark.usefixtures("kind_of_file_system")
def test_of_two_exports_that_may_replace_the_last_wins_whole(output: Path) -> None:
    export(output, "second", overwrite=True, meanwhile=lambda: export(output, "first", overwrite=True))
    assert content(output) == "second"
    assert os.listdir(output.parent) == ["qa"]


@pytest.mark.usefixtures("kind_of_file_system")
def test_a_bundle_that_goes_in_the_last_moment_is_not_missed(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(output, "old")
    check = placement.check_destination

    def remove_after(place: Path, *, overwrite: bool) -> None:
        check(place, overwrite=overwrite)
        if place.exists():
            for file in place.iterdir():
                file.unlink()
            place.rmdir()

    with hidden_folder(output) as building:
        fill(building, "new")
        monkeypatch.setattr(placement, "check_destination", remove_after)
        put_in_place(building, output, overwrite=True)
    assert content(output) == "new"


@pytest.mark.usefixtures("kind_of_file_system")
def test_a_file_that_comes_in_the_meantime_is_not_replaced(output: Path) -> None:
    with pytest.raises(ExportError, match="qa: is not a bundle and is not replaced"):
        export(output, "new", overwrite=True, meanwhile=lambda: output.write_text("years of work"))
    assert output.read_text() == "years of work"
    assert os.listdir(output.parent) == ["qa"]


def test_a_link_to_a_bundle_is_not_replaced(output: Path, tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", "old")
    output.parent.mkdir()
    output.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ExportError, match="qa: is not a bundle"):
        export(output, "new", overwrite=True)
    assert content(tmp_path / "elsewhere") == "old"


def test_the_old_bundle_comes_back_if_the_new_one_cannot_follow_it(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(output, "old")
    monkeypatch.setattr(placement, "_renameat2", lambda source, target, flag: False)
    rename = Path.rename

    def fail_for_the_new_one(self: Path, target: Path) -> Path:
        if ".building-" in self.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new_one)
    with pytest.raises(OSError, match="No space left"):
        export(output, "new", overwrite=True)
    assert content(output) == "old"
    assert os.listdir(output.parent) == ["qa"]


# What killed exports leave.


@pytest.fixture
def dead(output: Path) -> Iterator[Path]:
    """The hidden folder of an export that was killed."""
    output.parent.mkdir()
    yield fill(output.parent / ".qa.building-abcd_123", "half")


def test_the_next_export_removes_what_a_dead_one_left(output: Path, dead: Path) -> None:
    export(output, "new")
    assert not dead.exists()
    assert content(output) == "new"


def test_the_folder_of_an_export_that_lives_is_kept(output: Path, dead: Path) -> None:
    """A lock ends with the process that holds it: who has it, lives."""
    descriptor = os.open(dead, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    export(output, "new")
    assert content(dead) == "half"
    os.close(descriptor)


def test_an_export_holds_the_lock_of_its_folder(output: Path) -> None:
    with hidden_folder(output) as building:
        descriptor = os.open(building, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(".qa-large.building-abcd_123", id="of a bundle whose name begins like this one's"),
        pytest.param(".qa.building-abcd_1234", id="of another bundle's name"),
        pytest.param(".qa", id="just hidden"),
        pytest.param(".git", id="anything else"),
    ],
)
def test_hidden_folders_of_others_are_kept(output: Path, name: str) -> None:
    output.parent.mkdir()
    other = fill(output.parent / name, "theirs")
    export(output, "new")
    assert content(other) == "theirs"


def test_a_link_with_a_leftovers_name_is_not_followed(output: Path, tmp_path: Path) -> None:
    precious = fill(tmp_path / "precious", "theirs")
    output.parent.mkdir()
    (output.parent / ".qa.building-abcd_123").symlink_to(precious)
    export(output, "new")
    assert content(precious) == "theirs"


def test_a_bundle_that_a_dead_export_had_put_aside_comes_back(output: Path) -> None:
    """Only where names cannot be exchanged is there such a moment."""
    output.parent.mkdir()
    fill(output.parent / ".qa.replaced-abcd_123", "old")
    with pytest.raises(ExportError, match="exists already"):
        export(output, "new")
    assert content(output) == "old"


def test_a_failure_removes_the_folder_and_the_parents_that_it_needed(output: Path) -> None:
    with pytest.raises(KeyboardInterrupt), hidden_folder(output) as building:
        fill(building, "half")
        raise KeyboardInterrupt
    assert not output.parent.exists()


def test_everything_is_on_the_disk_before_it_has_its_name(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that loses its power after the renaming must not find a name without contents."""
    done: list[str] = []
    sync, rename = os.fsync, placement._renameat2

    def note(descriptor: int) -> None:
        done.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        sync(descriptor)

    def note_rename(source: Path, target: Path, flag: int) -> bool:
        done.append("renamed")
        return rename(source, target, flag)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(placement, "_renameat2", note_rename)
    export(output, "new")
    assert sorted(done[:2]) == ["manifest.json", "weights.bin"]
    assert done[2].startswith(".qa.building-")
    assert done[3:] == ["renamed", "models"]
