"""The output of a job on a cluster, which is its state, too; in a store: tests/end_to_end/test_object_stores.py."""

import io
from pathlib import Path

import pytest

from bulk.cluster.part_folder import PartFolder, PartNotes
from bulk.errors import JobError
from bulk.job_folder import Counts
from bulk.sources.rows import Position


def part(number: int) -> bytes:
    """Return a part that holds nothing but what it says of itself."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    content = io.BytesIO()
    notes = PartNotes(Counts(1, 0, 5, 8, 100), Position(number + 1, 0, 100 * (number + 1), number + 1), "a")
    parquet.write_table(pyarrow.table({"row": [number]}).replace_schema_metadata(notes.as_metadata()), content)
    return content.getvalue()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_job_goes_on_behind_the_parts_that_are_there(tmp_path: Path) -> None:
    with PartFolder(str(tmp_path / "parts")) as folder:
        folder.open({"model": "a"}, restart=False)
        for number in (0, 1, 3):
            folder.put(number, part(number), "a")
    (tmp_path / "parts" / "_part-00000009.parquet.new").write_bytes(b"torn")
    with PartFolder(str(tmp_path / "parts")) as again:
        again.open({"model": "a"}, restart=False)
        assert (again.finished, again.unbroken(), again.complete) == ({0, 1, 3}, 2, False)
        assert next(iter(again.notes([1]))).after == Position(2, 0, 200, 2)
        with pytest.raises(JobError, match=r"part-00000002.parquet is missing"):
            again.finish()
        again.put(2, part(2), "a")
        again.finish()
    with PartFolder(str(tmp_path / "parts")) as last:
        last.open({"model": "a"}, restart=False)
        assert last.complete
    assert names(tmp_path / "parts") == {
        "_job.json",
        "_lock",
        *(f"part-0000000{number}.parquet" for number in range(4)),
    }


def test_parts_of_another_job_or_another_runtime_are_refused_and_nobody_s_files_are_touched(tmp_path: Path) -> None:
    with PartFolder(str(tmp_path / "parts")) as folder:
        folder.open({"model": "a"}, restart=False)
        folder.put(0, part(0), "a")
        with pytest.raises(JobError, match="computed by b, and those before it by a"):
            folder.put(1, part(1), "b")
    assert not (tmp_path / "parts" / "part-00000001.parquet").exists()
    with PartFolder(str(tmp_path / "parts")) as another, pytest.raises(JobError, match='model was "a" and is "b"'):
        another.open({"model": "b"}, restart=False)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "part-00000000.parquet").touch()
    for restart in (False, True):
        with PartFolder(str(tmp_path / "photos")) as photos, pytest.raises(JobError, match="holds no job"):
            photos.open({}, restart=restart)
    assert names(tmp_path / "photos") == {"part-00000000.parquet"}


def test_beginning_again_deletes_nothing_before_there_is_a_part(tmp_path: Path) -> None:
    with PartFolder(str(tmp_path / "parts")) as folder:
        folder.open({"model": "a"}, restart=False)
        folder.put(0, part(0), "a")
    with PartFolder(str(tmp_path / "parts")) as failed:
        failed.open({"model": "b"}, restart=True)
        failed.hold()
    assert (tmp_path / "parts" / "part-00000000.parquet").exists()
    with PartFolder(str(tmp_path / "parts")) as again:
        again.open({"model": "b"}, restart=True)
        again.put(1, part(1), "b")
        assert again.finished == {1}
    assert names(tmp_path / "parts") == {"_job.json", "_lock", "part-00000001.parquet"}


def test_a_second_command_is_kept_away_as_long_as_the_first_is_there(tmp_path: Path) -> None:
    for begun in (False, True):
        with PartFolder(str(tmp_path / "parts")) as first:
            first.open({"model": "a"}, restart=False)
            first.hold()
            if begun:
                first.put(0, part(0), "a")
            for restart in (False, True):
                with (
                    PartFolder(str(tmp_path / "parts")) as second,
                    pytest.raises(JobError, match="another process works on this job"),
                ):
                    second.open({"model": "a"}, restart=restart)
                    second.hold()
        # Without a part there is nothing that anybody would want to keep.
        assert (tmp_path / "parts").exists() == begun


def test_a_folder_that_has_changed_since_it_was_looked_at_is_left_alone(tmp_path: Path) -> None:
    with PartFolder(str(tmp_path / "parts")) as late:
        late.open({"model": "a"}, restart=False)
        with PartFolder(str(tmp_path / "parts")) as first:
            first.open({"model": "b"}, restart=False)
            first.put(0, part(0), "b")
        with pytest.raises(JobError, match="has changed since the command began"):
            late.put(0, part(0), "a")
    assert names(tmp_path / "parts") == {"_job.json", "_lock", "part-00000000.parquet"}


def test_a_part_that_was_spoilt_is_told_by_name(tmp_path: Path) -> None:
    with PartFolder(str(tmp_path / "parts")) as folder:
        folder.open({}, restart=False)
        folder.put(0, part(0), "a")
        (tmp_path / "parts" / "part-00000000.parquet").write_bytes(b"PAR1")
        with pytest.raises(JobError, match=r"part-00000000.parquet: cannot be read"):
            list(folder.notes([0]))
