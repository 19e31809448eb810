from pathlib import Path

import pytest

from evaluation.data.plain_texts import PlainText, read_texts
from tests.evaluation.data.malformed import refusal


def test_paragraphs_of_plain_text_are_texts(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_bytes(b"\r\none\r\ntwo\r\n \r\n\r\nthree")
    assert read_texts(path) == [PlainText("one\ntwo", 2), PlainText("three", 6)]


def test_a_field_of_each_json_line_is_a_text(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('{"body": "one\\n\\ntwo"}\n\n{"body": "three"}\n')
    assert read_texts(path, field="body") == [PlainText("one\n\ntwo", 1), PlainText("three", 3)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("a.txt", "\n \n", "a.txt: the file is empty", id="a file of blanks"),
        pytest.param("a.jsonl", '{"text": "a"}\n{"t": 1}', "a.jsonl:2: the line has no 'text'", id="a missing field"),
        pytest.param("a.jsonl", '{"text": "a"}\n{"text": ""}', "a.jsonl:2: text is empty", id="an empty text"),
    ],
)
def test_one_line_names_file_line_and_problem_of(tmp_path: Path, name: str, content: str, message: str) -> None:
    assert refusal(read_texts, tmp_path / name, content) == message
