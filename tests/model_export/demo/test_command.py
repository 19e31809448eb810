import json
import shutil
from pathlib import Path

import pytest

from model_export.checkpoints.recognise import read_checkpoint
from model_export.demo.__main__ import main
from model_export.patterns.registry import get_pattern


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, vocabulary_file: Path) -> Path:
    """All three checkpoints after next to no training."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "work").mkdir()
    shutil.copyfile(vocabulary_file, folder / "work" / "spiece.model")
    options = ["--output", str(folder / "out"), "--work", str(folder / "work"), "--seed", "3"]
    main([*options, "--steps-scale", "0.0001", "--batch-tokens", "128", "--measured-batches", "1"])
    return folder


CHECKPOINTS = [
    pytest.param("demo-qa", "qa", "BigBirdForQuestionAnswering", id="question answering"),
    pytest.param("demo-classify", "classify", "BigBirdForSequenceClassification", id="classification"),
    pytest.param("demo-ner", "ner", "BigBirdForTokenClassification", id="entities"),
]


@pytest.mark.parametrize(("name", "task", "architecture"), CHECKPOINTS)
def test_one_command_makes_checkpoints_that_can_be_read(made: Path, name: str, task: str, architecture: str) -> None:
    folder = made / "out" / name
    checkpoint = read_checkpoint(folder)
    assert checkpoint.task == task
    model, unused = checkpoint.load_model(get_pattern("transformers"))
    assert unused == []
    assert 2_000_000 < sum(weight.numel() for weight in model.parameters()) < 3_000_000
    assert json.loads((folder / "config.json").read_text())["architectures"] == [architecture]
    assert sum(file.stat().st_size for file in folder.iterdir()) < 12_000_000


def test_the_labels_have_their_names(made: Path) -> None:
    labels = {name: read_checkpoint(made / "out" / name).config.labels for name in ("demo-classify", "demo-ner")}
    assert labels["demo-classify"] == ("financial", "incident", "inspection", "legal", "meeting", "research")
    assert labels["demo-ner"][:3] == ("O", "B-PER", "I-PER")


def test_the_card_tells_how_the_checkpoint_was_made(made: Path) -> None:
    card = (made / "out" / "demo-ner" / "README.md").read_text()
    assert "--seed 3" in card
    assert "the encoder of the qa checkpoint" in card
    assert "| 1000 |" in card
    assert "Entity F1 on generated reports" in card


def test_a_second_run_finds_everything_done(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--output", str(made / "out"), "--work", str(made / "work"), "--seed", "3", "--task", "qa"]
    main([*options, "--steps-scale", "0.0001", "--batch-tokens", "128", "--measured-batches", "1"])
    assert "going on after 5 steps" in capsys.readouterr().out
