import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evaluation.data.labelled_texts import Columns, LabelledText, read_labelled_texts
from tests.evaluation.data.malformed import refusal


def read(path: Path, content: str, *arguments: Any, **options: Any) -> list[LabelledText]:
    path.write_text(content, encoding="utf-8", newline="")
    return read_labelled_texts(path, *arguments, **options)


@pytest.mark.parametrize(
    ("header", "row", "text", "pair"),
    [
        pytest.param("sentence\tlabel", "good\t1", "good", None, id="SST-2"),
        pytest.param("index\tsentence1\tsentence2\tlabel", "0\ta\tb\t1", "a", "b", id="RTE and WNLI"),
        pytest.param("index\tquestion\tsentence\tlabel", "0\tq\ts\t1", "q", "s", id="QNLI"),
        pytest.param("id\tquestion1\tquestion2\tis_duplicate", "0\ta\tb\t1", "a", "b", id="QQP"),
        pytest.param("premise\thypothesis\tgold_label", "a\tb\t1", "a", "b", id="MNLI of the hub"),
        pytest.param("Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", "1\t7\t8\ta\tb", "a", "b", id="MRPC"),
        pytest.param("text\tlabel", "a\t1", "a", None, id="one text"),
        pytest.param("text\ttext_pair\tlabel", "a\tb\t1", "a", "b", id="fields of the service"),
    ],
)
def test_columns_are_found_by_the_names_of(tmp_path: Path, header: str, row: str, text: str, pair: str | None) -> None:
    rows = read(tmp_path / "dev.tsv", f"{header}\n{row}\n")
    assert rows == [LabelledText(text, pair, ("1",), None, 2)]


def test_a_table_without_header_has_numbered_columns(tmp_path: Path) -> None:
    rows = read(tmp_path / "cola.tsv", "gj04\t0\t*\tThey drank.\n", columns=Columns(text="4", label="2"), header=False)
    assert rows == [LabelledText("They drank.", None, ("0",), None, 1)]


def test_a_pair_can_be_left_out(tmp_path: Path) -> None:
    (row,) = read(tmp_path / "dev.tsv", "sentence1\tsentence2\tlabel\na\tb\t1\n", columns=Columns(pair=""))
    assert (row.text, row.pair) == ("a", None)


def test_a_quotation_mark_in_tsv_is_a_character(tmp_path: Path) -> None:
    rows = read(tmp_path / "dev.tsv", 'sentence\tlabel\n"so-called\t1\r\n\nit ended"\t0\r\n')
    assert [(row.text, row.label, row.line) for row in rows] == [('"so-called', "1", 2), ('it ended"', "0", 4)]


def test_a_cell_of_csv_may_hold_lines_and_be_long(tmp_path: Path) -> None:
    long = "word " * 50_000
    rows = read(tmp_path / "dev.csv", f'text,label\n"a ""b"",\n\nc",x\n"{long}",y\n')
    assert [(row.text, row.label, row.line) for row in rows] == [('a "b",\n\nc', "x", 2), (long, "y", 5)]


@pytest.mark.parametrize(
    ("content", "options"),
    [
        pytest.param('text;label\n"a, b; c";x\n', {}, id="a header"),
        pytest.param('"text";"label"\n"a, b; c";"x"\n', {}, id="a header in quotes"),
        pytest.param('"a, b; c";x\n', {"header": False, "columns": Columns("1", label="2")}, id="no header"),
    ],
)
def test_semicolons_separate_the_cells_of_csv_with(tmp_path: Path, content: str, options: dict[str, Any]) -> None:
    (row,) = read(tmp_path / "dev.csv", content, **options)
    assert (row.text, row.label) == ("a, b; c", "x")


def test_a_semicolon_between_commas_is_a_character(tmp_path: Path) -> None:
    rows = read(tmp_path / "dev.csv", "a; b; c,x\nd,y\n", columns=Columns("1", label="2"), header=False)
    assert [(row.text, row.label) for row in rows] == [("a; b; c", "x"), ("d", "y")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("dev.csv", "text,label\n\na,x\n,\n , \nb,y\n,\n", id="CSV"),
        pytest.param("dev.csv", "text;label\n\na;x\n;\n;\nb;y\n", id="CSV with semicolons"),
        pytest.param("dev.tsv", "text\tlabel\n\na\tx\n\t\n \t\nb\ty\n", id="TSV"),
    ],
)
def test_rows_of_empty_cells_are_passed_over_in(tmp_path: Path, name: str, content: str) -> None:
    rows = read(tmp_path / name, content)
    assert [(row.text, row.label, row.line) for row in rows] == [("a", "x", 3), ("b", "y", 6)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("dev.CSV", "text,label\na,x\n"),
        ("dev.Tsv", "text\tlabel\na\tx\n"),
        ("dev.JSONL", '{"text": "a", "label": "x"}'),
    ],
)
def test_the_case_of_an_ending_does_not_matter(tmp_path: Path, name: str, content: str) -> None:
    assert [(row.text, row.label) for row in read(tmp_path / name, content)] == [("a", "x")]


def test_json_lines_keep_text_and_numbers_apart(tmp_path: Path) -> None:
    lines = [{"text": "a\nb", "label": 2, "more": [1]}, {"text": "5", "label": " yes "}]
    rows = read(tmp_path / "dev.jsonl", "\n".join(map(json.dumps, lines)))
    assert [(row.text, row.label, row.line) for row in rows] == [("a\nb", "2", 1), ("5", "yes", 2)]


def test_a_text_may_have_several_labels_or_none(tmp_path: Path) -> None:
    rows = read(tmp_path / "dev.csv", 'text,labels\na,"x, y"\nb,\n', "labels")
    assert [row.labels for row in rows] == [("x", "y"), ()]
    rows = read(tmp_path / "dev.jsonl", '{"text": "a", "labels": ["x", 3]}\n{"text": "b", "labels": []}\n', "labels")
    assert [row.labels for row in rows] == [("x", "3"), ()]
    rows = read(tmp_path / "dev.tsv", "text\tlabels\na\tx|y\n", "labels", separator="|")
    assert [row.labels for row in rows] == [("x", "y")]


def test_a_field_of_any_line_is_a_column(tmp_path: Path) -> None:
    content = '{"text": "a", "label": "x"}\n{"text": "b", "text_pair": "c", "label": "y"}\n'
    message = refusal(read_labelled_texts, tmp_path / "dev.jsonl", content)
    assert message == "dev.jsonl:1: the row has no 'text_pair'"
    rows = read(tmp_path / "dev.jsonl", content, columns=Columns(pair=""))
    assert [(row.text, row.pair) for row in rows] == [("a", None), ("b", None)]


def test_a_field_that_is_null_throughout_is_no_column(tmp_path: Path) -> None:
    rows = read(tmp_path / "dev.jsonl", '{"text": "a", "text_pair": null, "label": "x"}\n' * 2)
    assert [(row.text, row.pair) for row in rows] == [("a", None), ("a", None)]


def test_a_text_may_have_a_number(tmp_path: Path) -> None:
    rows = read(tmp_path / "sts.tsv", "sentence1\tsentence2\tscore\na\tb\t3.25\n", "number")
    assert rows == [LabelledText("a", "b", (), 3.25, 2)]


TABLE = "sentence\tlabel\ngood\t1\n"


@pytest.mark.parametrize(
    ("name", "content", "target", "message"),
    [
        pytest.param("dev.tsv", "", "label", "dev.tsv: the file is empty", id="an empty file"),
        pytest.param(
            "dev.tsv", "sentence\tlabel\n", "label", "dev.tsv: no row follows the header", id="a header alone"
        ),
        pytest.param("dev.txt", TABLE, "label", "dev.txt: the ending '.txt' is none of", id="an unknown ending"),
        pytest.param("dev.tsv", TABLE + "bad\n", "label", "dev.tsv:3: 1 columns, where the first", id="a short row"),
        pytest.param("dev.tsv", TABLE + "a\tb\t1\n", "label", "dev.tsv:3: 3 columns, where the", id="a long row"),
        pytest.param("dev.tsv", "a\ta\nb\tc", "label", "dev.tsv:1: two columns are named 'a'", id="a column twice"),
        pytest.param(
            "dev.tsv",
            "body\tlabel\na\tb",
            "label",
            "dev.tsv:2: which column holds the texts? Name one with --text-column: 'body', 'label'",
            id="no text",
        ),
        pytest.param(
            "dev.tsv",
            "text\tclass\na\tb",
            "label",
            "dev.tsv:2: which column holds the labels? Name one with --label-column: ",
            id="no label",
        ),
        pytest.param("dev.tsv", TABLE + "\t0\n", "label", "dev.tsv:3: 'sentence' is empty", id="an empty text"),
        pytest.param("dev.tsv", TABLE + "bad\t \n", "label", "dev.tsv:3: 'label' is not a label", id="an empty label"),
        pytest.param(
            "dev.tsv", TABLE + "bad\tx\n", "number", "dev.tsv:3: 'label' is not a number: 'x'", id="no number"
        ),
        pytest.param("dev.tsv", TABLE + "b\tnan\n", "number", "dev.tsv:3: 'label' is not a number: 'nan'", id="a NaN"),
        pytest.param(
            "dev.tsv", TABLE + "a\tx,x\n", "labels", "dev.tsv:3: 'label' has a label twice", id="a label twice"
        ),
        pytest.param("dev.tsv", TABLE.encode() + b"b\xe9d\t0", "label", "dev.tsv:3: not UTF-8", id="another encoding"),
        pytest.param(
            "dev.csv", 'text,label\n"a\n\nb,1\n', "label", "dev.csv:2: not CSV", id="a quotation that never ends"
        ),
        pytest.param("dev.jsonl", '{"text": "a", "label": 1}\n{', "label", "dev.jsonl:2: not JSON", id="a broken line"),
        pytest.param(
            "dev.jsonl",
            '{"text": "a", "label": 1}\n{"text": "a\\ud83d", "label": 1}',
            "label",
            "dev.jsonl:2: \\ud83d is half a surrogate pair, not a character",
            id="half a surrogate pair in a text",
        ),
        pytest.param(
            "dev.jsonl",
            '{"text": "a", "label": 1, "\\udc00": 1}',
            "label",
            "dev.jsonl:1: \\udc00 is half a surrogate pair, not a character",
            id="half a surrogate pair in a name",
        ),
        pytest.param("dev.jsonl", '["a", 1]', "label", "dev.jsonl:1: the line is not a JSON object", id="a list"),
        pytest.param(
            "dev.jsonl",
            '{"text": "a", "label": 1}\n\n{"text": "a"}',
            "label",
            "dev.jsonl:3: the row has no 'label'",
            id="a line without label",
        ),
        pytest.param("dev.jsonl", '{"text": 5, "label": 1}', "label", "dev.jsonl:1: 'text' is not text", id="a number"),
        pytest.param(
            "dev.jsonl",
            '{"text": "a", "label": true}',
            "label",
            "dev.jsonl:1: 'label' is not a label: True",
            id="a label that is true",
        ),
        pytest.param(
            "dev.jsonl",
            '{"text": "a", "label": 1e999}',
            "number",
            "dev.jsonl:1: 'label' is not a number: inf",
            id="a number that is too large",
        ),
    ],
)
def test_one_line_names_file_line_and_problem_of(
    tmp_path: Path, name: str, content: str | bytes, target: Any, message: str
) -> None:
    assert refusal(partial(read_labelled_texts, target=target), tmp_path / name, content).startswith(message)


def test_an_unknown_label_is_named_beside_the_known_ones(tmp_path: Path) -> None:
    reader = partial(read_labelled_texts, known_labels=["0", "1"])
    message = refusal(reader, tmp_path / "dev.tsv", TABLE + "bad\t2\n")
    assert message == "dev.tsv:3: unknown label '2'; the model's labels are: 0, 1"


def test_a_column_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    reader = partial(read_labelled_texts, columns=Columns(text="body"))
    message = refusal(reader, tmp_path / "dev.tsv", TABLE)
    assert message == "dev.tsv:2: there is no column 'body', only: 'sentence', 'label'"
