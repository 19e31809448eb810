"""Every task of the manifest has a class."""

from collections.abc import Callable
from typing import Any, get_args

import pytest

from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import Manifest, TaskName
from bigbird_inference.tasks.registry import TASKS, create_task
from bigbird_inference.tokenization.tokenizer import Tokenizer
from tests.fake_model import MODEL_CONFIG, graph_inputs, graph_outputs


@pytest.mark.parametrize("name", get_args(TaskName))
def test_each_task_name_makes_its_task(
    make_manifest: Callable[..., Manifest], tokenizer: Tokenizer, name: TaskName
) -> None:
    task = create_task(make_manifest(task=name, labels=["O", "B-X"]), tokenizer)
    assert type(task) is TASKS[name]


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("qa", {"outputs": []}, "^outputs: a bundle of the task qa needs logits"),
        ("embed", {"outputs": graph_outputs("qa")}, "^outputs: .* needs hidden"),
        ("fill-mask", {"inputs": graph_inputs("qa")}, "^inputs: .* needs positions"),
        ("generate", {"inputs": graph_inputs("qa")}, "^inputs: .* needs positions"),
        ("classify", {"labels": ["a", "b", "c"]}, "^outputs: logits is .*2.*classify with 3 labels needs .*3"),
        ("ner", {"labels": [str(number) for number in range(100_000)]}, "^outputs: .* ner with 100000 labels needs"),
        ("qa", {"outputs": graph_outputs("classify")}, "^outputs: .* qa needs .'batch', 'length', 2"),
        ("embed", {"model": MODEL_CONFIG | {"hidden_size": 9}}, "^outputs: hidden is .* needs .*9"),
        ("fill-mask", {"model": MODEL_CONFIG | {"vocab_size": 999}}, "^outputs: .* needs .'batch', 'positions', 999"),
    ],
    ids=[
        "no logits",
        "no hidden states",
        "masks without positions",
        "generation without positions",
        "three labels over two outputs",
        "many labels over two outputs",
        "answers over labels",
        "another width",
        "another vocabulary",
    ],
)
def test_a_manifest_without_what_the_task_needs_is_refused(
    make_manifest: Callable[..., Manifest], tokenizer: Tokenizer, name: TaskName, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        create_task(make_manifest(task=name, **fields), tokenizer)
