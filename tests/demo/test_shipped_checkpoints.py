from pathlib import Path

import pytest

from demo.classification import Classification
from demo.entity_recognition import EntityRecognition
from demo.model_card import NOTE
from demo.question_answering import QuestionAnswering
from model_export.checkpoints.recognise import read_checkpoint

FOLDER = Path(__file__).parents[2] / "examples" / "checkpoints"

SHIPPED = [
    pytest.param("demo-qa", QuestionAnswering, id="question answering"),
    pytest.param("demo-classify", Classification, id="classification"),
    pytest.param("demo-ner", EntityRecognition, id="entities"),
]


@pytest.mark.parametrize(("name", "objective"), SHIPPED)
def test_a_shipped_checkpoint_is_small_and_complete(name: str, objective: type[Classification]) -> None:
    folder = FOLDER / name
    checkpoint = read_checkpoint(folder)
    assert checkpoint.task == objective.task
    assert checkpoint.config.labels == objective.labels
    assert checkpoint.note == NOTE
    assert checkpoint.config.max_position_embeddings == 4096
    assert {file.name for file in folder.iterdir()} == {"README.md", "config.json", "model.safetensors", "spiece.model"}
    assert sum(file.stat().st_size for file in folder.iterdir()) < 12_000_000
