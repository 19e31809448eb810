"""What is written of an answer, and how much of it at once."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from bigbird_inference.tasks.entity_grouping import Entity
from bigbird_inference.tasks.entity_recognition import EntityAnswer
from bigbird_inference.tasks.question_answering import AnswerSpan, QuestionAnswer
from bigbird_inference.tasks.registry import TASKS
from service.api.task_bodies import TaskBodies
from service.request_run import ItemResult, Usage


@pytest.mark.parametrize("count", [0, 1, 16, 17, 40])
def test_a_list_is_written_a_few_items_at_a_time(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Any] = []
    dump_json = TypeAdapter.dump_json

    def noted(adapter: TypeAdapter[Any], value: Any) -> bytes:
        written.append(value)
        return dump_json(adapter, value)

    monkeypatch.setattr(TypeAdapter, "dump_json", noted)
    usage = Usage(3, 1, [64], 0, 0.1, 2.0, "abc")
    entities = [Entity("PER", 'Zoë "\x01"', number, number + 5, 0.25) for number in range(count)]
    content = TaskBodies(TASKS["ner"].operation).write("my-ner", ItemResult(EntityAnswer(entities), usage))
    assert json.loads(content) == {
        "entities": [
            {"entity": "PER", "text": 'Zoë "\x01"', "start": number, "end": number + 5, "score": 0.25}
            for number in range(count)
        ],
        "model": "my-ner",
        "usage": {
            "tokens": 3,
            "windows": 1,
            "buckets": [64],
            "truncated_tokens": 0,
            "queue_ms": 0.1,
            "inference_ms": 2.0,
            "revision": "abc",
        },
    }
    assert max(len(value) for value in written if isinstance(value, list)) <= 16


@pytest.mark.parametrize(
    ("told", "written"),
    [
        pytest.param(("yes", 0.75), {"answer_type": "yes", "answer_type_score": 0.75}, id="a model that tells it"),
        pytest.param(("null", 0.5), {"answer_type": "null", "answer_type_score": 0.5}, id="the category null"),
        pytest.param((None, None), {}, id="a model that does not"),
    ],
)
def test_the_kind_of_answer_is_left_out_where_the_model_does_not_tell_it(
    told: tuple[Any, float | None], written: dict[str, Any]
) -> None:
    answer = QuestionAnswer("Zoë", 0.25, 0, 3, [AnswerSpan("Zoë", 0.25, 0, 3)], *told)
    bodies = TaskBodies(TASKS["qa"].operation)
    content = json.loads(bodies.write("my-qa", ItemResult(answer, Usage(3, 1, [64], 0, 0.1, 2.0, "abc"))))
    span = {"answer": "Zoë", "score": 0.25, "start": 0, "end": 3}
    del content["usage"]
    assert content == {**span, "alternatives": [span], **written, "model": "my-qa"}


def test_the_description_says_that_the_kind_of_answer_may_be_missing_and_is_never_null() -> None:
    schema = TaskBodies(TASKS["qa"].operation).answer.model_json_schema(mode="serialization")
    kind, score = schema["properties"]["answer_type"], schema["properties"]["answer_type_score"]
    assert kind["enum"] == ["null", "short", "long", "yes", "no"]
    assert (kind["type"], score["type"]) == ("string", "number")
    assert "default" not in kind and "default" not in score
    assert set(schema["required"]) == {"answer", "score", "start", "end", "alternatives", "model", "usage"}
