from pathlib import Path

import pytest

from model_export.checkpoints.checkpoint import Checkpoint
from model_export.checkpoints.huggingface import SENTENCEPIECE_FILE
from model_export.checkpoints.recognise import read_checkpoint
from model_export.demo.batches import Lengths
from model_export.demo.classification import Classification
from model_export.demo.entity_recognition import EntityRecognition
from model_export.demo.objective import Objective
from model_export.demo.question_answering import QuestionAnswering
from model_export.demo.vocabulary import CLASSIFY, MASK, PAD, SEPARATOR
from model_export.patterns.registry import get_pattern
from service.tokenization.tokenizer import Tokenizer

FOLDER = Path(__file__).parents[3] / "examples" / "checkpoints"

SHIPPED = [
    pytest.param("demo-qa", QuestionAnswering, id="question answering"),
    pytest.param("demo-classify", Classification, id="classification"),
    pytest.param("demo-ner", EntityRecognition, id="entities"),
]


@pytest.mark.parametrize(("name", "objective"), SHIPPED)
@pytest.mark.parametrize("tokens", [200, 1000])
def test_a_shipped_checkpoint_is_nearly_always_right_on_unseen_reports(
    name: str, objective: type[Classification], tokens: int
) -> None:
    checkpoint = read_checkpoint(FOLDER / name)
    model, _ = checkpoint.load_model(get_pattern("transformers"))
    task: Objective = objective(tokenizer_of(checkpoint), checkpoint.config.block_size)
    assert task.score(model, Lengths(tokens, tokens), batches=2, tokens=10 * tokens) >= 0.85


@pytest.mark.parametrize(("name", "objective"), SHIPPED)
def test_a_shipped_checkpoint_is_small_and_complete(name: str, objective: type[Classification]) -> None:
    folder = FOLDER / name
    checkpoint = read_checkpoint(folder)
    assert checkpoint.task == objective.task
    assert checkpoint.config.labels == objective.labels
    assert checkpoint.config.max_position_embeddings == 4096
    assert {file.name for file in folder.iterdir()} == {"README.md", "config.json", "model.safetensors", "spiece.model"}
    assert sum(file.stat().st_size for file in folder.iterdir()) < 12_000_000


def tokenizer_of(checkpoint: Checkpoint) -> Tokenizer:
    return Tokenizer(checkpoint.folder / SENTENCEPIECE_FILE, CLASSIFY, SEPARATOR, PAD, MASK).load()
