"""Which class serves which task of a manifest."""

from typing import Any

from bigbird_inference.manifest import Manifest, TaskName
from bigbird_inference.tasks.base import Task
from bigbird_inference.tasks.classification import Classification
from bigbird_inference.tasks.embedding import Embedding
from bigbird_inference.tasks.entity_recognition import EntityRecognition
from bigbird_inference.tasks.generation import Generation
from bigbird_inference.tasks.mask_filling import MaskFilling
from bigbird_inference.tasks.multiple_choice import MultipleChoice
from bigbird_inference.tasks.next_sentence import NextSentence
from bigbird_inference.tasks.question_answering import QuestionAnswering
from bigbird_inference.tasks.signature import check_outputs
from bigbird_inference.tokenization.tokenizer import Tokenizer

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
        BundleError: The manifest lacks what the task needs, or has outputs of another shape.
    """
    task = TASKS[manifest.task](manifest, tokenizer)
    check_outputs(manifest)
    return task
