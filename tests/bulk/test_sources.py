import inspect
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bulk.errors import JobError, RowError
from bulk.sources.inputs import Format, Inputs, Shard
from bulk.sources.rows import Line, Position, SourceRow, read_lines
from documents.errors import DocumentError
from documents.limits import Limits
from documents.reading import read_document

ALL = Shard()
JSON = b'{"id": 1, "text": "one"}\n\n{"text": "two"}\r\nnonsense\n[3]\n{"text": "f\xc3\xbcnf"}'
CSV = b'\xef\xbb\xbfid,text\r\n1,"one, and\nmore"\r\n,\r\n2,two\r\n3\r\n4,"f\xc3\xbcnf"\r\n'
SEMICOLONS = b"id;text\n1;one, and more\n2;two\n"
LONG_NAMES = b'"number\nof the row";"te""xt"\r\n1;one\r\n2;"two\nlines"\r\n'
TSV = b'id\ttext\n1\t"one\n2\ttwo\n'

READ = {
    "jsonl": (JSON, [{"id": 1, "text": "one"}, {"text": "two"}, None, None, {"text": "fünf"}]),
    "csv": (
        CSV,
        [{"id": "1", "text": "one, and\nmore"}, {"id": "2", "text": "two"}, None, {"id": "4", "text": "fünf"}],
    ),
    "semicolons.csv": (SEMICOLONS, [{"id": "1", "text": "one, and more"}, {"id": "2", "text": "two"}]),
    "names.csv": (
        LONG_NAMES,
        [{"number\nof the row": "1", 'te"xt': "one"}, {"number\nof the row": "2", 'te"xt': "two\nlines"}],
    ),
    "unnamed.csv": (b"id,text,,\n1,one,,\n", [{"id": "1", "text": "one", "": ""}]),
    "tsv": (TSV, [{"id": "1", "text": '"one'}, {"id": "2", "text": "two"}]),
}


def values(rows: Iterator[SourceRow]) -> list[Any]:
    read = []
    for row in rows:
        try:
            read.append(dict(row.read()))
        except RowError:
            read.append(None)
    return read


def written(folder: Path, name: str, content: bytes) -> str:
    path = folder / f"rows.{name}"
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize("name", READ)
def test_rows_are_read_from_the_beginning_and_from_behind_each_of_them(tmp_path: Path, name: str) -> None:
    content, expected = READ[name]
    inputs = Inputs([written(tmp_path, name, content)])
    rows = list(inputs.rows(Position(), ALL))
    assert values(iter(rows)) == expected
    for number, row in enumerate(rows, start=1):
        following = list(inputs.rows(row.after, ALL))
        assert values(iter(following)) == expected[number:]
        assert [own.name for own in following] == [own.name for own in rows[number:]]
        assert [own.number for own in following] == [own.number for own in rows[number:]]


@pytest.mark.parametrize(("format", "content"), [("jsonl", JSON), ("csv", CSV), ("csv", LONG_NAMES)])
def test_standard_input_goes_on_where_it_was_and_is_compared_with_what_was_read(format: Format, content: bytes) -> None:
    def piped(given: bytes) -> Inputs:
        return Inputs(["-"], format=format, standard_input=lambda: io.BytesIO(given))

    expected = next(values for own, values in READ.values() if own == content)
    rows = list(piped(content).rows(Position(), ALL))
    assert values(iter(rows)) == expected
    for number, row in enumerate(rows, start=1):
        assert values(piped(content).rows(row.after, ALL)) == expected[number:]
    with pytest.raises(JobError, match="does not begin with what was read"):
        list(piped(content.replace(b"one", b"eno")).rows(rows[1].after, ALL))


def test_a_folder_gives_its_documents_in_the_order_of_their_names_and_goes_on_after_each(tmp_path: Path) -> None:
    for name, text in {
        "b.md": "# B",
        "a.txt": "A",
        "c/d.html": "<p>D</p>",
        ".hidden.txt": "H",
        "e.png": "PNG",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "c" / "empty.txt").touch()
    inputs = Inputs([str(tmp_path)], document_column="context")
    rows = list(inputs.rows(Position(), ALL))
    assert [row.name for row in rows] == [str(tmp_path / name) for name in ("a.txt", "b.md", "c/d.html", "c/empty.txt")]
    assert values(iter(rows)) == [{"context": "A"}, {"context": "# B"}, {"context": "D"}, {"context": ""}]
    for number, row in enumerate(rows, start=1):
        assert [own.name for own in inputs.rows(row.after, ALL)] == [own.name for own in rows[number:]]
    assert (inputs.survey().files, inputs.survey().passed_over) == (4, 1)


def test_neither_a_link_in_a_circle_nor_many_folders_in_each_other_hide_a_document(tmp_path: Path) -> None:
    (tmp_path / "circle.txt").symlink_to("circle.txt")
    (tmp_path / "z.txt").write_text("one")
    deepest = tmp_path.joinpath(*("a" * 150))
    deepest.mkdir(parents=True)
    (deepest / "b.txt").touch()
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        survey = Inputs([str(tmp_path)]).survey()
    finally:
        sys.setrecursionlimit(usual)
    assert (survey.documents, survey.passed_over) == (2, 1)


def test_shards_have_every_row_once_over_all_files(tmp_path: Path) -> None:
    files = [written(tmp_path, f"{number}.jsonl", JSON) for number in range(3)]
    shares = [[row.number for row in Inputs(files).rows(Position(), Shard(index, 4))] for index in range(4)]
    assert shares == [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11]]


def test_a_survey_notices_another_file_another_size_and_another_time(tmp_path: Path) -> None:
    path = Path(written(tmp_path, "jsonl", JSON))
    first = Inputs([str(tmp_path / "*.jsonl")]).survey()
    assert (first.files, first.bytes) == (1, len(JSON))
    path.write_bytes(JSON.replace(b"one", b"eno"))
    changed = Inputs([str(tmp_path / "*.jsonl")]).survey()
    (tmp_path / "more.jsonl").touch()
    more = Inputs([str(tmp_path / "*.jsonl")]).survey()
    assert len({first.fingerprint, changed.fingerprint, more.fingerprint}) == 3


def test_a_line_that_is_too_large_is_counted_and_not_held() -> None:
    stream = io.BytesIO(b"a" * 25 + b"\nb\n")
    assert list(read_lines(stream, largest=10)) == [Line(None, 26), Line(b"b\n", 2)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("csv", b"", "names no column", id="an empty table"),
        pytest.param("csv", b"a,a\n1,2\n", "two columns are named 'a'", id="a column twice"),
        pytest.param("csv", b"a,b\r1,2\r", "end with CR alone; save it with LF", id="lines of an old Macintosh"),
        pytest.param("csv", "a,b\n1,2\n".encode("utf-16"), "is UTF-16; save it as UTF-8", id="a table in UTF-16"),
        pytest.param("jsonl", '{"a": 1}\n'.encode("utf-16"), "is UTF-16; save it as UTF-8", id="JSON in UTF-16"),
        pytest.param("png", b"PNG", "say what it is with --input-format", id="an ending that nobody knows"),
    ],
)
def test_a_file_that_cannot_be_read_ends_the_job(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(JobError, match=message):
        list(Inputs([written(tmp_path, name, content)]).rows(Position(), ALL))


def test_rows_behind_a_quotation_mark_that_is_not_closed_are_not_taken_for_a_cell(tmp_path: Path) -> None:
    inputs = Inputs([written(tmp_path, "csv", b'id,text\n1,one\n2,"two\n3,three\n')])
    first, rest = inputs.rows(Position(), ALL)
    assert dict(first.read()) == {"id": "1", "text": "one"}
    with pytest.raises(RowError, match="a quotation mark is not closed from line 3 to the end of the file"):
        rest.read()


@pytest.mark.parametrize("name", ["pipe.jsonl", "pipe.txt", "endless.txt"])
def test_what_is_not_a_regular_file_is_refused_and_not_opened(tmp_path: Path, name: str) -> None:
    if name.startswith("pipe"):
        os.mkfifo(tmp_path / name)
    else:
        (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(JobError, match=f"{name}: is not a regular file; pipe what it gives into -"):
        Inputs([str(tmp_path / name)]).survey()
    if name.endswith("txt"):
        with pytest.raises(DocumentError, match="not a regular file"):
            read_document(tmp_path / name, "text", Limits())


def test_parquet_is_read_from_behind_each_row(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    expected = [{"id": number, "text": f"text {number}", "question": ["a", "b"]} for number in range(7)]
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(expected), path, row_group_size=3)
    rows = list(Inputs([str(path)]).rows(Position(), ALL))
    assert values(iter(rows)) == expected
    for number, row in enumerate(rows, start=1):
        assert values(Inputs([str(path)]).rows(row.after, ALL)) == expected[number:]


def test_texts_that_parquet_holds_as_bytes_are_texts(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    cells = {"id": [b"a"], "text": ["f\u00fcnf".encode()], "question": [[b"b", None]], "picture": [b"\xff"]}
    parquet.write_table(pyarrow.table(cells), tmp_path / "rows.parquet")
    expected = {"id": "a", "text": "f\u00fcnf", "question": ["b", None], "picture": b"\xff"}
    assert values(Inputs([str(tmp_path / "rows.parquet")]).rows(Position(), ALL)) == [expected]


def test_a_cell_of_parquet_that_python_cannot_hold_fails_only_rows_that_need_it(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    times = pyarrow.array([2**62, 0], pyarrow.timestamp("us"))
    table = pyarrow.table([["one", "two"], times, [1, 2], [3, 4]], names=["text", "at", "twice", "twice"])
    parquet.write_table(table, tmp_path / "rows.parquet")
    first, second = (row.read() for row in Inputs([str(tmp_path / "rows.parquet")]).rows(Position(), ALL))
    assert (first["text"], second["text"], second["at"].year, first.get("none")) == ("one", "two", 1970, None)
    with pytest.raises(RowError, match="the cell of 'at' cannot be read: date value out of range"):
        first.get("at")
    with pytest.raises(RowError, match="two columns are named 'twice'"):
        first.get("twice")


def test_every_line_of_json_is_by_the_letter(tmp_path: Path) -> None:
    lines = ['{"a": NaN}', '{"a": 1, "a": 2}', json.dumps({"a": 1})]
    inputs = Inputs([written(tmp_path, "jsonl", "\n".join(lines).encode())])
    assert values(inputs.rows(Position(), ALL)) == [None, None, {"a": 1}]
