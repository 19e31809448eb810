"""Which class serves which task of a manifest."""

from typing import Any

from service.bundle import Manifest, TaskName
from service.tasks.base import Task
from service.tasks.classification import Classification
from service.tasks.embedding import Embedding
from service.tasks.entity_recognition import EntityRecognition
from service.tasks.generation import Generation
from service.tasks.mask_filling import MaskFilling
from service.tasks.multiple_choice import MultipleChoice
from service.tasks.next_sentence import NextSentence
from service.tasks.question_answering import QuestionAnswering
from service.tokenization.tokenizer import Tokenizer

TASKS: dict[TaskName, type[Task[Any, Any]]] = {
    "qa": QuestionAnswering,
    "classify": Classification,
    "ner": EntityRecognition,
    "fill-mask": MaskFilling,
    "next-sentence": NextSentence,
    "multiple-choice": MultipleChoice,
    "embed": Embedding,
    "generate": Generation,
}


def create_task(manifest: Manifest, tokenizer: Tokenizer) -> Task[Any, Any]:
    """Build the task that a manifest names.

    Raises:
        BundleError: The manifest lacks what the task needs.
    """
    return TASKS[manifest.task](manifest, tokenizer)
