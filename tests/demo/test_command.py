import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.__main__ import main
from demo.batches import Lengths
from demo.recipe import Recipe
from finetuning.plan import Stage
from model_export.checkpoints.recognise import read_checkpoint
from model_export.patterns.registry import get_pattern

SHORT = Lengths(50, 60, subjects=2)
STEP: Stage[tuple[Lengths, ...]] = Stage((SHORT,), 3)
RECIPES = {
    "qa": Recipe((STEP, STEP), 1e-3),
    "ner": Recipe((STEP,), 1e-3, starts_from="qa"),
    "classify": Recipe((STEP,), 1e-3, starts_from="qa"),
}


@pytest.fixture(autouse=True, scope="module")
def a_short_recipe() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("demo.__main__.RECIPES", RECIPES)
        patch.setattr("demo.model_card.MEASURED", (Lengths(60, 60), Lengths(100, 100)))
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, vocabulary_file: Path, a_short_recipe: None) -> Path:
    """All three checkpoints after next to no training."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "work").mkdir()
    shutil.copyfile(vocabulary_file, folder / "work" / "spiece.model")
    main(options_for(folder))
    return folder


def options_for(folder: Path) -> list[str]:
    options = ["--output", str(folder / "out"), "--work", str(folder / "work"), "--seed", "3"]
    return [*options, "--steps-scale", "0.34", "--batch-tokens", "128", "--measured-batches", "1"]


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
    loaded = checkpoint.load(get_pattern("transformers"))
    assert loaded.unused == []
    assert 2_000_000 < sum(weight.numel() for weight in loaded.model.parameters()) < 3_000_000
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
    assert "| 100 |" in card
    assert "Steps: 1 in 1 stages" in card
    assert "| tokens | entity F1 |" in card


def test_a_second_run_finds_everything_done(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([*options_for(made), "--task", "qa"])
    assert "going on after 2 steps" in capsys.readouterr().err
