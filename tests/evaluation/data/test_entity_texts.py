import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evaluation.data.entity_files import read_entities
from evaluation.data.entity_texts import Entity
from tests.evaluation.data.malformed import refusal

EMOJI = {"text": "😀 Mr. Ng\nlives in Łódź", "entities": [[18, 22, "LOC"], [6, 8, "PER"]]}


def line(**fields: Any) -> str:
    return json.dumps({"text": "Ann met Bo.", "entities": []} | fields)


def test_offsets_are_code_points_and_every_line_is_a_document(tmp_path: Path) -> None:
    path = tmp_path / "dev.jsonl"
    path.write_text(json.dumps(EMOJI) + "\n\n" + line(entities=[[0, 3, "PER"]], id="other fields are passed over"))
    file = read_entities(path)
    first, second = file.texts
    assert [(one.label, first.text[one.start : one.end]) for one in first.entities] == [("PER", "Ng"), ("LOC", "Łódź")]
    assert second.entities == (Entity("PER", 0, 3),)
    assert [(text.line, text.document) for text in file.texts] == [(1, 0), (3, 1)]
    assert (file.labels, file.scheme, file.divided) == (("LOC", "PER"), None, True)


def test_spans_that_begin_or_end_inside_a_word_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "dev.jsonl"
    path.write_text(json.dumps(EMOJI))
    (text,) = read_entities(path).texts
    assert text.count_cuts([(6, 8), (2, 8), (18, 22), (0, len(text.text))]) == 0
    assert text.count_cuts([(7, 8), (6, 7), (19, 22)]) == 3


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(line(entities=[[0, 12, "PER"]]), "the entity [0, 12, 'PER'] is not in its text of 11", id="end"),
        pytest.param(line(entities=[[3, 3, "PER"]]), "the entity [3, 3, 'PER'] is not in its text of 11", id="empty"),
        pytest.param(
            line(entities=[[-1, 3, "PER"]]), "item 1 of item 1 of entities is not a whole number from 0", id="negative"
        ),
        pytest.param(line(entities=[[0, 3]]), "an entity is not [start, end, type]", id="no type"),
        pytest.param(
            line(entities=[[0, 3, "PER"], [2, 7, "PER"]]),
            "the entities [0, 3, 'PER'] and [2, 7, 'PER'] overlap",
            id="overlap",
        ),
        pytest.param(line(entities=[[0, 3, "NAME"]]), "unknown label 'NAME'; the model's labels are: PER", id="type"),
        pytest.param('{"text": "a"}', "the line has no 'entities'", id="no entities"),
        pytest.param('{"text": "", "entities": []}', "text is empty", id="no text"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_line(tmp_path: Path, content: str, problem: str) -> None:
    read = partial(read_entities, model_labels=["O", "B-PER", "I-PER"])
    message = refusal(read, tmp_path / "dev.jsonl", line() + "\n" + content)
    assert message.startswith("dev.jsonl:2: ")
    assert problem in message


def test_options_of_conll_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "dev.jsonl"
    assert "leave out --unit" in refusal(partial(read_entities, unit="sentence"), path, line())
    assert "leave out --scheme" in refusal(partial(read_entities, scheme="BIO"), path, line())
