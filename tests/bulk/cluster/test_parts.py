"""A job in parts, as a cluster makes them, without one: ranges of the input, and parts of the output."""

import io
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from bulk.cluster.part_folder import PartFolder
from bulk.cluster.part_worker import MadePart, PartWorker, Work
from bulk.cluster.ranges import InputRange, input_ranges
from bulk.errors import JobError
from bulk.job import Job, run_job
from bulk.job_folder import Counts
from bulk.model import load
from bulk.sources.inputs import Inputs, Shard
from bulk.sources.rows import Position
from documents.parsers import Parsers

CONTRACT = Path(__file__).resolve().parents[3] / "examples" / "contracts" / "supply-agreement.pdf"
WORDS = "The survey of the northern bridges ended in May. 🌉 Maria Okafor led it. "


def written(folder: Path, rows: int = 24) -> str:
    path = folder / "in.jsonl"
    lines = [{"context": f"{WORDS * (1 + number % 7)} {number}"} for number in range(rows)]
    lines[5] = {"context": " "}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def ranges_from(given: str, start: Position, first: int) -> list[InputRange]:
    return list(input_ranges(Inputs([given]).rows(start, Shard()), first, most_bytes=1000))


def test_ranges_are_the_same_from_wherever_reading_begins_and_hold_every_row_once(tmp_path: Path) -> None:
    given = written(tmp_path)
    whole = ranges_from(given, Position(), 0)
    assert len(whole) > 4
    assert [row.number for own in whole for row in own.rows] == list(range(24))
    assert sum(own.bytes for own in whole) == Path(given).stat().st_size
    for own in whole[:-1]:
        following = ranges_from(given, own.after, own.number + 1)
        assert [[row.number for row in one.rows] for one in following] == [
            [row.number for row in one.rows] for one in whole[own.number + 1 :]
        ]


def test_a_range_has_fewer_rows_if_many_questions_are_asked_about_each(tmp_path: Path) -> None:
    rows = Inputs([written(tmp_path)]).rows(Position(), Shard())
    assert [len(own.rows) for own in input_ranges(rows, 0, questions=1000)] == [8, 8, 8]


def test_an_input_without_rows_is_a_part_with_the_columns(tmp_path: Path, small_bundles: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "in.jsonl").touch()
    job = Job([str(tmp_path / "in.jsonl")], tmp_path / "out.parquet", questions=["Who led it?"])
    run_job(job, lambda: load(small_bundles / "small-qa", threads=1))
    (own,) = ranges_from(job.inputs[0], Position(), 0)
    made = PartWorker(Work(job, str(small_bundles / "small-qa"), threads=1)).make(moved(own))
    assert (own.bytes, made.notes.after, made.notes.counts) == (0, Position(), Counts())
    together, whole = parquet.read_table(io.BytesIO(made.content)), parquet.read_table(tmp_path / "out.parquet")
    assert together.schema == whole.schema and together.equals(whole)


@pytest.mark.parametrize(
    ("unlike", "message"),
    [({"revision": "another"}, "has another bundle as"), ({"version": "0.0.1"}, r"and not 0\.0\.1")],
)
def test_a_machine_that_joins_later_is_as_the_others_were(
    tmp_path: Path, small_bundles: Path, unlike: dict[str, str], message: str
) -> None:
    job = Job([written(tmp_path)], tmp_path / "out.parquet", questions=["Who led it?"])
    with pytest.raises(JobError, match=message):
        PartWorker(Work(job, str(small_bundles / "small-qa"), threads=1, **unlike))  # type: ignore[arg-type]


def moved(value: Any) -> Any:
    """Return what arrives of something that is sent to another process."""
    return pickle.loads(pickle.dumps(value))


def test_the_parts_together_are_the_one_machine_s_output(tmp_path: Path, small_bundles: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    given, bundle = written(tmp_path), small_bundles / "small-qa"
    job = Job(
        [given], tmp_path / "out.parquet", options={"top_k": 2}, questions=["Who led it?", "Where?"], keep_text=True
    )
    counts = run_job(job, lambda: load(bundle, threads=1))
    worker = PartWorker(moved(Work(job, str(bundle), threads=1)))
    made: list[MadePart] = [moved(worker.make(moved(own))) for own in ranges_from(given, Position(), 0)]
    with PartFolder(str(tmp_path / "parts")) as folder:
        folder.open({}, restart=False)
        for part in reversed(made):
            folder.put(part.number, part.content, part.notes.runtime)
        assert sum((part.notes.counts for part in made), Counts()) == counts
        assert list(folder.notes(range(len(made)))) == [part.notes for part in made]
    together = parquet.read_table(tmp_path / "parts")
    whole = parquet.read_table(tmp_path / "out.parquet")
    assert together.schema == whole.schema
    # The sums of these small graphs depend on the shape of a batch; those of exported ones do not, and are compared to
    # the last bit in tests/end_to_end/test_ray.py.
    assert without_numbers(together.to_pylist()) == without_numbers(whole.to_pylist())


def test_parts_of_documents_have_their_pages_and_boxes(tmp_path: Path, small_bundles: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    documents, bundle = tmp_path / "documents", small_bundles / "small-qa"
    documents.mkdir()
    shutil.copy(CONTRACT, documents / "a.pdf")
    (documents / "b.txt").write_text(WORDS, encoding="utf-8")
    job = Job([str(documents)], tmp_path / "out.parquet", questions=["Who led it?"])
    run_job(job, lambda: load(bundle, threads=1))
    worker = PartWorker(moved(Work(job, str(bundle), threads=1, located=True)))
    inputs = Inputs(job.inputs, document_column="context", parsers=Parsers(job.document_limits))
    (own,) = input_ranges(inputs.rows(Position(), Shard()), 0)
    together = parquet.read_table(io.BytesIO(worker.make(moved(own)).content))
    whole = parquet.read_table(tmp_path / "out.parquet")
    assert together.schema == whole.schema
    assert without_numbers(together.to_pylist()) == without_numbers(whole.to_pylist())
    (page, none), (boxes, nowhere) = together["page"].to_pylist(), together["boxes"].to_pylist()
    assert page in (1, 2) and {box["page"] for box in boxes} == {page}
    assert none is None and nowhere is None


def without_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_numbers(own) for name, own in value.items()}
    if isinstance(value, list):
        return [without_numbers(own) for own in value]
    return pytest.approx(value, abs=1e-5) if isinstance(value, float) else value
