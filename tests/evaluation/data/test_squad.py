import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.data.squad import SquadAnswer, read_squad
from tests.evaluation.data.malformed import refusal

CONTEXT = "Größe: Maria Okafor 🙂 led it."
ANSWER = {"text": "Maria Okafor", "answer_start": 7}


def question(**fields: Any) -> dict[str, Any]:
    return {"id": "q1", "question": "Who led it?", "answers": [ANSWER], **fields}


def file(*questions: dict[str, Any], **fields: Any) -> str:
    """Return a file with an element on each line; the first question begins on line 9."""
    data = [{"title": "t", "paragraphs": [{"context": CONTEXT, "qas": list(questions)}]}]
    return json.dumps({**fields, "data": data}, indent=1)


def test_a_question_is_read_with_its_context_answers_and_line(tmp_path: Path) -> None:
    path = tmp_path / "dev.json"
    path.write_text(file(question(answers=[ANSWER, {"text": "🙂", "answer_start": 20}]), version="1.1"))
    squad = read_squad(path)
    (example,) = squad.examples
    assert squad.version == "v1.1"
    assert (example.id, example.question, example.context) == ("q1", "Who led it?", CONTEXT)
    assert example.answers == (SquadAnswer("Maria Okafor", 7), SquadAnswer("🙂", 20))
    assert not example.impossible
    assert example.line == 10  # after the line of the version


def test_a_file_on_one_line_and_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "dev.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(json.loads(file(question()))).encode())
    assert [example.line for example in read_squad(path).examples] == [1]


@pytest.mark.parametrize(
    ("content", "version"),
    [
        pytest.param(file(question()), "v1.1", id="a file that says nothing"),
        pytest.param(file(question(), version="v2.0"), "v2.0", id="a file that says v2.0"),
        pytest.param(file(question(is_impossible=False)), "v2.0", id="a file that could have impossible questions"),
    ],
)
def test_the_version_is_that_of(tmp_path: Path, content: str, version: str) -> None:
    path = tmp_path / "dev.json"
    path.write_text(content)
    assert read_squad(path).version == version


def test_an_impossible_question_has_no_answers(tmp_path: Path) -> None:
    path = tmp_path / "dev.json"
    path.write_text(file(question(is_impossible=True, answers=[], plausible_answers=[ANSWER])))
    (example,) = read_squad(path).examples
    assert example.impossible
    assert example.answers == ()


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in question().items() if key != name}


def test_ids_that_are_numbers_are_taken_and_missing_ones_made(tmp_path: Path) -> None:
    path = tmp_path / "dev.json"
    path.write_text(file(question(id=285377), without("id"), question(id=None)))
    assert [example.id for example in read_squad(path).examples] == ["285377", "question-2", "question-3"]


@pytest.mark.parametrize(
    "version", [pytest.param({"version": "v2.0"}, id="v2.0"), pytest.param({}, id="a file without version")]
)
def test_a_question_without_answers_is_impossible_in(tmp_path: Path, version: dict[str, str]) -> None:
    path = tmp_path / "dev.json"
    path.write_text(file(question(), question(id="q2", answers=[]), **version))
    squad = read_squad(path)
    assert squad.version == "v2.0"
    assert [(example.impossible, len(example.answers)) for example in squad.examples] == [(False, 1), (True, 0)]


def flat(name: str, *texts: str) -> dict[str, Any]:
    starts = [CONTEXT.find(text) for text in texts]
    answers = {"text": list(texts), "answer_start": starts}
    return {"id": name, "title": "t", "context": CONTEXT, "question": "Who led it?", "answers": answers}


FLAT = [flat("a", "Maria Okafor", "🙂"), flat("b")]


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        pytest.param("dev.json", "[\n" + ",\n".join(map(json.dumps, FLAT)) + "\n]", [2, 3], id="a list"),
        pytest.param("dev.json", json.dumps({"version": "x", "data": FLAT}), [1, 1], id="data"),
        pytest.param("dev.jsonl", "\n\n".join(map(json.dumps, FLAT)), [1, 3], id="JSON lines"),
        pytest.param("dev.JSONL", "\n".join(map(json.dumps, FLAT)), [1, 2], id="JSON lines in capitals"),
        pytest.param("dev.json", "\n".join(map(json.dumps, FLAT)), [1, 2], id="JSON lines that end in .json"),
    ],
)
def test_flat_questions_are_read_from(tmp_path: Path, name: str, content: str, lines: list[int]) -> None:
    path = tmp_path / name
    path.write_text(content)
    squad = read_squad(path)
    first, second = squad.examples
    assert squad.version == "v2.0"
    assert (first.id, first.question, first.context) == ("a", "Who led it?", CONTEXT)
    assert first.answers == (SquadAnswer("Maria Okafor", 7), SquadAnswer("🙂", 20))
    assert (second.impossible, second.answers) == (True, ())
    assert [first.line, second.line] == lines


def test_flat_questions_with_answers_are_of_the_first_version(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(FLAT[0]))
    assert read_squad(path).version == "v1.1"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(
            json.dumps([{**FLAT[0], "answers": {"text": ["Maria Okafor"], "answer_start": []}}]),
            "dev.json:1: answers has 1 text and 0 answer_start, where each needs the other",
            id="a flat answer without place",
        ),
        pytest.param(
            json.dumps([{**FLAT[0], "context": None}]),
            "dev.json:1: item 1 of the file has no 'context'",
            id="no context",
        ),
        pytest.param("", "dev.json: the file is empty", id="an empty file"),
        pytest.param(" \n\n", "dev.json: the file is empty", id="a file of blanks"),
        pytest.param('{\n "data": [\n}', "dev.json:3: not JSON: expecting value", id="broken JSON"),
        pytest.param('{"data": []\n', "dev.json:2: not JSON: expected ','", id="JSON that ends early"),
        pytest.param('{"data": []}\nx', "dev.json:2: not JSON: something follows", id="JSON with more after it"),
        pytest.param('{"data":\n NaN}', "dev.json:2: not JSON: NaN is not a JSON value", id="a constant of JavaScript"),
        pytest.param("[" * 100_000, "dev.json:1: not JSON that can be read: nested too deeply", id="deep nesting"),
        pytest.param(
            '{"data": [],\n "data": []}', "dev.json:2: not JSON: the file has 'data' twice", id="a field twice"
        ),
        pytest.param('{"data": "\xe9"}'.encode("latin-1"), "dev.json:1: not UTF-8: byte 0xe9", id="another encoding"),
        pytest.param(
            b'{"data":\n "\xff"}', "dev.json:2: not UTF-8: byte 0xff at position 11", id="another encoding below"
        ),
        pytest.param(
            file(question(question="who \ud83d?")),
            "dev.json:11: \\ud83d is half a surrogate pair, not a character",
            id="half a surrogate pair",
        ),
        pytest.param("[]", "dev.json: no question in the file", id="an empty list"),
        pytest.param("[5]", "dev.json:1: item 1 of the file is a number, not an object", id="a list of numbers"),
        pytest.param("{}", "dev.json:1: the file has no 'data'", id="no data"),
        pytest.param('{"data": []}', "dev.json: no question in the file", id="no question"),
        pytest.param(
            file(without("question")), "dev.json:9: item 1 of qas has no 'question'", id="a question without text"
        ),
        pytest.param(file(question(question="")), "dev.json:11: question is empty", id="a question that is empty"),
        pytest.param(file(question(id=True)), "dev.json:10: id is true or false, not text", id="an id that is true"),
        pytest.param(
            file(without("answers")), "dev.json:9: item 1 of qas has no 'answers'", id="a question without answers"
        ),
        pytest.param(
            file(question(answers=[]), version="1.1"),
            "dev.json:10: answers is empty, and the question is not marked is_impossible",
            id="no answer in v1.1",
        ),
        pytest.param(
            file(question(answers=[], is_impossible=False)),
            "dev.json:9: answers is empty, and the question is not marked is_impossible",
            id="no answer, and said to have one",
        ),
        pytest.param(
            file(question(answers=[{"text": "Maria"}])),
            "dev.json:13: item 1 of answers has no 'answer_start'",
            id="an answer without place",
        ),
        pytest.param(
            file(question(answers=[{"text": "Maria", "answer_start": -7}])),
            "dev.json:15: answer_start is not a whole number from 0",
            id="a negative place",
        ),
        pytest.param(
            file(question(answers=[{"text": "Maria", "answer_start": True}])),
            "dev.json:15: answer_start is not a whole number from 0",
            id="a place that is true",
        ),
        pytest.param(
            file(question(answers=[ANSWER, {"text": "Maria", "answer_start": 8}])),
            "dev.json:17: the answer 'Maria' does not stand in the context at answer_start 8: it stands there at 7",
            id="an answer beside its place",
        ),
        pytest.param(
            file(question(answers=[{"text": "Mario", "answer_start": 7}])),
            "does not stand in the context at answer_start 7: it does not stand in the context at all",
            id="an answer that is not in the context",
        ),
        pytest.param(
            file(question(answers=[{"text": "", "answer_start": 7}])),
            "dev.json:14: text is empty",
            id="an empty answer",
        ),
        pytest.param(
            file(question(is_impossible=True)),
            "dev.json:9: a question that is_impossible has answers",
            id="an impossible question with an answer",
        ),
        pytest.param(
            file(question(is_impossible="no")),
            "dev.json:18: is_impossible is text, not true or false",
            id="an is_impossible in words",
        ),
        pytest.param(
            file(question(), question()), "dev.json:19: the id 'q1' was used on line 9 already", id="an id used twice"
        ),
    ],
)
def test_one_line_names_file_line_and_problem_of(tmp_path: Path, content: str | bytes, message: str) -> None:
    assert message in refusal(read_squad, tmp_path / "dev.json", content)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"none\.json: No such file"):
        read_squad(tmp_path / "none.json")
