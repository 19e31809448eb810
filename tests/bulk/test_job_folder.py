"""What is found after a kill between any two writes, or in the middle of one."""

import fcntl
from pathlib import Path

import pytest

from bulk.errors import JobError
from bulk.job_folder import Counts, JobFolder, PartRow
from bulk.output_file import OutputFile
from bulk.requests import ItemKey
from bulk.sources.rows import Position

ASKED = {"model": "a", "options": {"top_k": 1}}


def row(number: int, question: int = 0, *, failed: bool = False) -> PartRow:
    content = f'{{"row": {number}, "question": {question}}}'.encode()
    return PartRow(ItemKey(number, question), content, failed, tokens=10, padded_tokens=16)


def lines(*rows: PartRow) -> bytes:
    return b"".join(one.content + b"\n" for one in rows)


def opened(output: Path, **asked: object) -> JobFolder:
    folder = JobFolder(OutputFile(output), "input")
    folder.open({**ASKED, **asked}, restart=False)
    return folder


def test_a_torn_write_costs_the_rows_that_are_not_whole_and_no_other(tmp_path: Path) -> None:
    with opened(tmp_path / "out.jsonl") as folder:
        folder.append([row(2), row(0, 1, failed=True), row(1)])
    part = tmp_path / "out.jsonl.job" / "part.rows"
    whole = part.read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]
    for size in range(len(whole) + 1):
        part.write_bytes(whole[:size])
        with opened(tmp_path / "out.jsonl") as folder:
            kept = sum(end <= size for end in ends)
            assert folder.answered == {own.key for own in (row(2), row(0, 1), row(1))[:kept]}
            assert folder.counts_so_far == Counts(kept, int(kept > 1), 10 * kept, 16 * kept)
            folder.append([row(3)])
        after = part.read_bytes()
        good = ends[kept - 1] if kept else 0
        assert after.startswith(whole[:good]) and after.endswith(row(3).content + b"\n")
        assert after.count(b"\n") == kept + 1


def test_a_byte_that_changed_is_noticed(tmp_path: Path) -> None:
    with opened(tmp_path / "out.jsonl") as folder:
        folder.append([row(0), row(1)])
    part = tmp_path / "out.jsonl.job" / "part.rows"
    content = bytearray(part.read_bytes())
    content[-5] ^= 1
    part.write_bytes(content)
    with opened(tmp_path / "out.jsonl") as folder:
        assert folder.answered == {ItemKey(0)}


def test_parts_follow_each_other_in_the_order_of_the_input(tmp_path: Path) -> None:
    with opened(tmp_path / "out.jsonl") as folder:
        folder.append([row(1), row(0, 1)])
        folder.append([row(0)])
        folder.finish_part(Position(row=2, offset=50), 50)
        folder.append([row(2)])
        assert folder.rows_file.read_bytes() == lines(row(0), row(0, 1), row(1))
    with opened(tmp_path / "out.jsonl") as folder:
        assert (folder.position, folder.answered) == (Position(row=2, offset=50), {ItemKey(2)})
        folder.finish_part(Position(row=3, offset=60), 10)
        folder.finish()
        folder.place(folder.rows_file)
        assert folder.counts_so_far == Counts(4, 0, 40, 64, 60)
    assert (tmp_path / "out.jsonl").read_bytes() == lines(row(0), row(0, 1), row(1), row(2))


@pytest.mark.parametrize("killed", ["before job.json was replaced", "before part.rows was emptied"])
def test_a_kill_while_a_part_is_finished_neither_loses_nor_doubles_rows(tmp_path: Path, killed: str) -> None:
    output = tmp_path / "out.jsonl"
    files = tmp_path / "out.jsonl.job"
    with opened(output) as folder:
        folder.append([row(0), row(1)])
        state, part = (files / "job.json").read_bytes(), (files / "part.rows").read_bytes()
        folder.finish_part(Position(row=2), 0)
    (files / "part.rows").write_bytes(part)
    if killed.startswith("before job.json"):
        (files / "job.json").write_bytes(state)
    with opened(output) as folder:
        if killed.startswith("before job.json"):
            assert folder.answered == {ItemKey(0), ItemKey(1)}
            folder.finish_part(Position(row=2), 0)
        assert folder.answered == frozenset()
        folder.append([row(2)])
        folder.finish_part(Position(row=3), 0)
        assert folder.rows_file.read_bytes() == lines(row(0), row(1), row(2))
        assert folder.counts_so_far.rows == 3


def test_another_question_is_refused_and_named_and_a_restart_begins_again(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    with opened(output) as folder:
        folder.append([row(0)])
    with pytest.raises(JobError, match=r'options was \{"top_k": 1\} and is \{"top_k": 2\}\..* --restart'):
        begun_otherwise(output)
    with JobFolder(OutputFile(output), "input") as again:
        again.open({**ASKED, "options": {"top_k": 2}}, restart=True)
        assert again.answered == frozenset()


def begun_otherwise(output: Path) -> None:
    with JobFolder(OutputFile(output), "input") as folder:
        folder.open({**ASKED, "options": {"top_k": 2}}, restart=False)


def test_a_job_that_ended_before_its_first_row_is_begun_with_what_is_asked_then(tmp_path: Path) -> None:
    with opened(tmp_path / "out.jsonl"):
        pass
    with opened(tmp_path / "out.jsonl", options={"top_k": 3}) as folder:
        folder.append([row(0)])
    with pytest.raises(JobError, match=r'options was \{"top_k": 3\}'):
        begun_otherwise(tmp_path / "out.jsonl")


def test_nobodys_file_is_written_over(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    output.write_text("mine")
    with pytest.raises(JobError, match="is there already"):
        opened(output)
    output.unlink()
    with opened(output) as folder:
        folder.finish_part(Position(row=1), 0)
        folder.finish()
        output.write_text("mine")
        with pytest.raises(JobError, match="has appeared since"):
            folder.place(folder.rows_file)
    assert output.read_text() == "mine"


def test_a_kill_right_after_the_output_was_placed_leaves_a_job_that_comes_to_its_end(tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    for _ in range(2):
        with opened(output) as folder:
            made = folder.folder / "rows.parquet"
            made.write_text("made")
            if not folder.finished:
                folder.append([row(0)])
                folder.finish_part(Position(row=1), 0)
                folder.finish()
            folder.place(made)
        folder.rows_file.write_bytes(lines(row(0)))  # as if it had not been deleted yet
    assert output.read_text() == "made"


def test_a_kill_right_after_rows_became_the_output_leaves_nothing_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = OutputFile.put

    def put_and_stop(output: OutputFile, made: Path) -> None:
        put(output, made)
        raise InterruptedError

    monkeypatch.setattr(OutputFile, "put", put_and_stop)
    with opened(tmp_path / "out.jsonl") as folder:
        folder.append([row(0)])
        folder.finish_part(Position(row=1), 0)
        folder.finish()
        with pytest.raises(InterruptedError):
            folder.place(folder.rows_file)
    assert {path.name for path in folder.folder.iterdir()} == {"job.json", "lock"}
    assert (tmp_path / "out.jsonl").read_bytes() == lines(row(0))


def test_two_processes_do_not_work_on_one_job(tmp_path: Path) -> None:
    with opened(tmp_path / "out.jsonl"), pytest.raises(JobError, match="another process works on this job"):
        opened(tmp_path / "out.jsonl")


def test_a_job_that_another_process_ends_meanwhile_is_not_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, lock = tmp_path / "out.jsonl", fcntl.flock

    def slow_lock(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        with opened(output) as other:
            other.append([row(0)])
            other.finish_part(Position(row=1), 0)
            other.finish()
            other.place(other.rows_file)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", slow_lock)
    with opened(output) as folder:
        assert folder.finished and folder.counts_so_far.rows == 1


def test_the_state_beside_the_rows_does_not_grow_with_them(tmp_path: Path) -> None:
    with opened(tmp_path / "out.jsonl") as folder:
        for first in range(0, 1000, 200):
            folder.append(row(number) for number in range(first, first + 200))
            folder.finish_part(Position(row=first + 200), 1)
        files = (tmp_path / "out.jsonl.job").iterdir()
        assert sum(path.stat().st_size for path in files if path != folder.rows_file) < 1000
