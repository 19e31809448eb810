import json
from pathlib import Path

import pytest

from evaluation.data.documents import read_documents
from evaluation.data.source_text import DataError

SQUAD = {
    "version": "v2.0",
    "data": [
        {
            "title": "a",
            "paragraphs": [
                {
                    "context": context,
                    "qas": [{"id": str(number), "question": "?", "answers": [], "is_impossible": True}],
                }
                for number, context in enumerate(("one", "two", "one"))
            ],
        }
    ],
}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("texts.txt", "one\n\n\ntwo\n\none\n"),
        ("squad.json", json.dumps(SQUAD)),
        ("texts.csv", "text,label\none,A\ntwo,B\none,A\n"),
        ("texts.tsv", "label\ttext\nA\tone\nB\ttwo\n"),
        ("texts.jsonl", '{"text": "one", "label": "A"}\n{"text": "two", "label": "B"}\n'),
    ],
)
def test_the_texts_of_a_file_are_read_each_once(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert read_documents(tmp_path / name) == ["one", "two"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"texts\.txt"):
        read_documents(tmp_path / "texts.txt")
