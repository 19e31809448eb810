"""Whose the output folder is: nothing of anybody else is written over."""

import json
from pathlib import Path

import pytest

from tests.finetuning.command_line import run


def test_somebody_elses_folder_is_not_written_over(arguments: list[str], encoder: Path, tmp_path: Path) -> None:
    own = encoder / "config.json"
    before = own.read_bytes()
    result = run([*arguments, "--output", str(encoder)])
    assert (result.exit_code, own.read_bytes()) == (1, before)
    assert "is the checkpoint to start from" in result.output
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    result = run(arguments)
    assert result.exit_code == 1
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["thesis.txt"]
    assert "is not empty, and nothing in it comes from a fine-tuning" in result.output


def test_a_folder_with_a_training_of_somebody_else_is_not_written_over(arguments: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "training").mkdir(parents=True)
    (out / "training" / "run.json").write_text('{"made_by": "another program"}')
    (out / "config.json").write_text("mine")
    (out / "model.safetensors").write_text("mine")
    result = run(arguments)
    assert result.exit_code == 1
    assert "is not empty, and nothing in it comes from a fine-tuning; name another folder" in result.output
    assert sorted(file.name for file in out.rglob("*") if file.is_file()) == [
        "config.json",
        "model.safetensors",
        "run.json",
    ]
    assert (out / "config.json").read_text() == (out / "model.safetensors").read_text() == "mine"


def test_a_checkpoint_whose_state_was_removed_is_not_trained_anew(arguments: list[str], tmp_path: Path) -> None:
    assert run([*arguments, "--steps", "1"]).exit_code == 0
    before = (tmp_path / "out" / "model.safetensors").read_bytes()
    (tmp_path / "out" / "training" / "state").unlink()
    result = run([*arguments, "--steps", "2"])
    assert result.exit_code == 1
    assert "holds a checkpoint whose training left no state to go on from; name another folder" in result.output
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before


def test_a_training_that_ended_before_it_saved_anything_begins_anew(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("finetuning.objective.FileObjective.loss", fail)
    assert run(arguments).exit_code != 0
    monkeypatch.undo()
    assert not (tmp_path / "out" / "training" / "state").exists()
    assert run([*arguments, "--steps", "1"]).exit_code == 0
    assert json.loads((tmp_path / "out" / "training" / "run.json").read_text())["settings"]["steps"] == 1
