"""What is written of an answer, and how much of it at once."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from bigbird_inference.tasks.entity_grouping import Entity
from bigbird_inference.tasks.entity_recognition import EntityAnswer
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
