"""What the tasks declare, as others use it."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from bigbird_inference.manifest import TaskName
from bigbird_inference.tasks.registry import TASKS


@pytest.mark.parametrize(
    ("task", "fields", "wrong"),
    [
        ("qa", {"question": "a", "context": "b", "top_k": 0}, "top_k"),
        ("qa", {"question": "a", "context": "b", "max_answer_tokens": 0}, "max_answer_tokens"),
        ("qa", {"question": "a", "context": "b", "window_stride": -1}, "window_stride"),
        ("classify", {"text": "a", "top_k": 0}, "top_k"),
        ("qa", {"question": "a", "context": "b", "min_score": 1.1}, "min_score"),
        ("qa", {"question": "a", "context": "b", "offsets": "utf32"}, "offsets"),
        ("classify", {"text": "a", "function": "tanh"}, "function"),
        ("classify", {"text": "a", "threshold": 50}, "threshold"),
        ("ner", {"text": "a", "threshold": 1.5}, "threshold"),
        ("ner", {"text": ""}, "text"),
        ("multiple-choice", {"prompt": "a", "choices": ["b"]}, "choices"),
        ("multiple-choice", {"prompt": "a", "choices": ["b"] * 65}, "choices"),
        ("fill-mask", {"text": "a", "top_k": 0}, "top_k"),
        ("generate", {"prompt": "a", "max_new_tokens": 0}, "max_new_tokens"),
    ],
)
def test_limits_hold_for_whoever_reads_requests(task: TaskName, fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(TASKS[task].operation.request).validate_python(fields)
    assert {error["loc"][0] for error in refused.value.errors()} == {wrong}


def test_every_field_is_a_text_or_an_option() -> None:
    assert TASKS["qa"].operation.texts == {"question", "context"}
    assert TASKS["qa"].operation.options == {
        "top_k",
        "max_answer_tokens",
        "window_stride",
        "no_answer",
        "min_score",
        "offsets",
        "windows",
    }
    assert TASKS["multiple-choice"].operation.texts == {"prompt"}
