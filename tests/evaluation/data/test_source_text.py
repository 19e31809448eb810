"""What all formats have in common: line ends, and mistakes that are told at once."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evaluation.data.conll import read_conll
from evaluation.data.labelled_texts import read_labelled_texts
from evaluation.data.plain_texts import read_texts
from evaluation.data.source_text import DataError, SeveralMistakes
from evaluation.data.squad import read_squad

Read = Callable[[Path], Any]


def texts_of(path: Path) -> list[tuple[str, int]]:
    return [(row.text, row.line) for row in read_labelled_texts(path)]


def sentences_of(path: Path) -> list[tuple[str, int]]:
    return [(text.text, text.line) for text in read_conll(path).texts]


def paragraphs_of(path: Path) -> list[tuple[str, int]]:
    return [(text.text, text.line) for text in read_texts(path)]


def questions_of(path: Path) -> list[tuple[str, int]]:
    return [(example.question, example.line) for example in read_squad(path).examples]


QUESTION = {"context": "Ann", "answers": {"text": ["Ann"], "answer_start": [0]}}
QUESTIONS = [json.dumps({"question": name, **QUESTION}) for name in ("a b", "c")]
# In each, "a b" begins on line 2 and "c" on line 4.
FILES = [
    pytest.param("dev.conll", ["", "a B-X", "b I-X", "", "c O", ""], [("a b", 2), ("c", 5)], sentences_of, id="CoNLL"),
    pytest.param("dev.csv", ["text,label", "a b,x", "", "c,y", ""], [("a b", 2), ("c", 4)], texts_of, id="CSV"),
    pytest.param("dev.tsv", ["text\tlabel", "a b\tx", "", "c\ty", ""], [("a b", 2), ("c", 4)], texts_of, id="TSV"),
    pytest.param(
        "dev.jsonl",
        ["", '{"text": "a b", "label": "x"}', "", '{"text": "c", "label": "y"}'],
        [("a b", 2), ("c", 4)],
        texts_of,
        id="labels in JSON lines",
    ),
    pytest.param("dev.txt", ["", "a b", "", "c", ""], [("a b", 2), ("c", 4)], paragraphs_of, id="plain text"),
    pytest.param(
        "dev.jsonl",
        ["", '{"text": "a b"}', "", '{"text": "c"}'],
        [("a b", 2), ("c", 4)],
        paragraphs_of,
        id="JSON lines",
    ),
    pytest.param("dev.jsonl", ["", *QUESTIONS], [("a b", 2), ("c", 3)], questions_of, id="questions in JSON lines"),
    pytest.param(
        "dev.json", ["[", f"{QUESTIONS[0]},", QUESTIONS[1], "]"], [("a b", 2), ("c", 3)], questions_of, id="JSON"
    ),
]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize(("name", "lines", "expected", "read"), FILES)
def test_lines_end_in_any_way_in(
    tmp_path: Path, name: str, lines: list[str], expected: list[tuple[str, int]], read: Read, end: str
) -> None:
    path = tmp_path / name
    path.write_bytes(end.join(lines).encode())
    assert read(path) == expected
    path.write_bytes(end.join(lines).encode() + b"\xff")
    with pytest.raises(DataError) as caught:
        read(path)
    assert caught.value.line == len(lines)


def wrong(path: Path, read: Read) -> list[str]:
    with pytest.raises(SeveralMistakes) as caught:
        read(path)
    return str(caught.value).replace(f"{path}", path.name).split("\n")


def nested(*answer_starts: int) -> str:
    qas = [{"question": "Who?", "answers": [{"text": "Ann", "answer_start": start}]} for start in answer_starts]
    return json.dumps({"data": [{"paragraphs": [{"context": "Ann", "qas": qas}]}]}, indent=1)


WRONG = [
    pytest.param(
        read_squad,
        "q.json",
        nested(0, 1, 0, 2),
        [
            "q.json: 2 mistakes:",
            "q.json:20: the answer 'Ann' does not stand in the context at answer_start 1: it stands there at 0",
            "q.json:38: the answer 'Ann' does not stand in the context at answer_start 2: it stands there at 0",
        ],
        id="SQuAD",
    ),
    pytest.param(
        read_squad,
        "q.json",
        '[{"id": "a",\n"id": "b"},\n{"question": "",\n"context": "Ann", "answers":\n[{"text": "Bo"},\n'
        '{"text": "\\ud800",\n"answer_start": 0}]}, 7]',
        [
            "q.json: 7 mistakes:",
            "q.json:1: item 1 of the file has no 'paragraphs'",
            "q.json:2: not JSON: item 1 of the file has 'id' twice",
            "q.json:3: question is empty",
            "q.json:5: item 1 of answers has no 'answer_start'",
            "q.json:6: \\ud800 is half a surrogate pair, not a character",
            "q.json:6: the answer '\\ud800' does not stand in the context at answer_start 0: it does not stand in the "
            "context at all",
            "q.json:7: item 3 of the file is a number, not an object",
        ],
        id="flat questions",
    ),
    pytest.param(
        read_squad,
        "q.jsonl",
        "{\n" + QUESTIONS[0] + "\n[\n",
        [
            "q.jsonl: 2 mistakes:",
            "q.jsonl:1: not JSON: expected a field's name in double quotes",
            "q.jsonl:3: not JSON: expecting value",
        ],
        id="questions in JSON lines",
    ),
    pytest.param(
        read_labelled_texts,
        "t.csv",
        'text,label\na\n"",x\nb,x\n"c',
        [
            "t.csv: 3 mistakes:",
            "t.csv:2: 1 columns, where the first line has 2",
            "t.csv:3: 'text' is empty",
            "t.csv:5: not CSV: unexpected end of data",
        ],
        id="CSV",
    ),
    pytest.param(
        partial(read_labelled_texts, target="labels", known_labels=["x"]),
        "t.tsv",
        "text\tlabel\n\tx\na\tx,y,z\nb\n",
        [
            "t.tsv: 4 mistakes:",
            "t.tsv:2: 'text' is empty",
            "t.tsv:3: unknown label 'y'; the model's labels are: x",
            "t.tsv:3: unknown label 'z'; the model's labels are: x",
            "t.tsv:4: 1 columns, where the first line has 2",
        ],
        id="TSV",
    ),
    pytest.param(
        read_labelled_texts,
        "t.jsonl",
        '{"text": 5, "label": true}\n7\n{\n{"text": "a", "label": "x"}',
        [
            "t.jsonl: 4 mistakes:",
            "t.jsonl:1: 'text' is not text",
            "t.jsonl:1: 'label' is not a label: True",
            "t.jsonl:2: the line is not a JSON object",
            "t.jsonl:3: not JSON: expected a field's name in double quotes",
        ],
        id="labels in JSON lines",
    ),
    pytest.param(
        read_texts,
        "t.jsonl",
        '{}\n}\n{"text": ""}',
        [
            "t.jsonl: 3 mistakes:",
            "t.jsonl:1: the line has no 'text'",
            "t.jsonl:2: not JSON: expecting value",
            "t.jsonl:3: text is empty",
        ],
        id="texts in JSON lines",
    ),
    pytest.param(
        partial(read_conll, scheme="BIO", model_labels=["O", "B-X", "I-X"]),
        "n.conll",
        "a B-X\nb\nc I-X\n\nd I-X\ne B-Y\nf G\n",
        [
            "n.conll: 4 mistakes:",
            "n.conll:2: one column, where a word and its tag are needed",
            "n.conll:5: I-X: no entity of its type is open after O",
            "n.conll:6: unknown label 'Y'; the model's labels are: X",
            "n.conll:7: 'G' is not an entity tag: neither O nor B-, I-, E-, L-, S- or U- and a type; a type alone is "
            "one where no tag of the file has these",
        ],
        id="CoNLL",
    ),
]


@pytest.mark.parametrize(("read", "name", "content", "expected"), WRONG)
def test_all_mistakes_are_told_at_once_of(
    tmp_path: Path, read: Read, name: str, content: str, expected: list[str]
) -> None:
    path = tmp_path / name
    path.write_text(content)
    assert wrong(path, read) == expected


def test_twenty_of_many_mistakes_are_told(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("text\tlabel\n" + "a\n" * 50)
    lines = wrong(path, read_labelled_texts)
    assert lines[0] == "t.tsv: 50 mistakes, the first 20 of them:"
    assert [int(line.split(":")[1]) for line in lines[1:]] == list(range(2, 22))
