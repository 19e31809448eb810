"""Every task of the manifest has a class."""

from collections.abc import Callable
from typing import get_args

import pytest

from service.bundle import Manifest, TaskName
from service.tasks.registry import TASKS, create_task
from service.tokenization.tokenizer import Tokenizer


@pytest.mark.parametrize("name", get_args(TaskName))
def test_each_task_name_makes_its_task(
    make_manifest: Callable[..., Manifest], tokenizer: Tokenizer, name: TaskName
) -> None:
    task = create_task(make_manifest(task=name, labels=["O", "B-X"]), tokenizer)
    assert type(task) is TASKS[name]
