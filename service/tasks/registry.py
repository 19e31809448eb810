"""Which class serves which task of a manifest."""

from typing import Any

from service.bundle import Manifest, TaskName
from service.tasks.base import Task
from service.tasks.classification import Classification
from service.tasks.entity_recognition import EntityRecognition
from service.tasks.question_answering import QuestionAnswering
from service.tokenization.tokenizer import Tokenizer

TASKS: dict[TaskName, type[Task[Any, Any]]] = {
    "qa": QuestionAnswering,
    "classify": Classification,
    "ner": EntityRecognition,
}


def create_task(manifest: Manifest, tokenizer: Tokenizer) -> Task[Any, Any]:
    """Build the task that a manifest names.

    Raises:
        BundleError: The manifest lacks what the task needs.
    """
    return TASKS[manifest.task](manifest, tokenizer)
