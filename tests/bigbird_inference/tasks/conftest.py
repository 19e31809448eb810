"""Tasks of a small model, and logits that point at characters."""

from collections.abc import Callable

import pytest

from bigbird_inference.manifest import Manifest
from bigbird_inference.tasks.classification import Classification
from bigbird_inference.tasks.entity_recognition import EntityRecognition
from bigbird_inference.tasks.question_answering import QuestionAnswering
from bigbird_inference.tokenization.tokenizer import Tokenizer

BIO_LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


@pytest.fixture(scope="session")
def question_answering(make_manifest: Callable[..., Manifest], tokenizer: Tokenizer) -> QuestionAnswering:
    """A model of 64 tokens."""
    return QuestionAnswering(make_manifest(task="qa"), tokenizer)


@pytest.fixture(scope="session")
def make_classification(make_manifest: Callable[..., Manifest], tokenizer: Tokenizer) -> Callable[..., Classification]:
    """Return a function that makes the task from keywords for the manifest."""

    def make(**fields: object) -> Classification:
        return Classification(make_manifest(**{"task": "classify", "labels": ["a", "b", "c"], **fields}), tokenizer)

    return make


@pytest.fixture(scope="session")
def entity_recognition(make_manifest: Callable[..., Manifest], tokenizer: Tokenizer) -> EntityRecognition:
    """A model of 64 tokens with BIO labels for persons and places."""
    return EntityRecognition(make_manifest(task="ner", labels=BIO_LABELS), tokenizer)
