"""What can go wrong while a training runs, as one line, and what does not cost its result."""

import sys
from pathlib import Path

import pytest
import torch

from finetuning.history import History
from model_export.checkpoints.recognise import read_checkpoint
from tests.finetuning.command_line import run

DIVERGING = ["--learning-rate", "1e30", "--warm-up", "0", "--steps", "3", "--precision", "fp32"]


def test_a_training_that_diverges_is_one_line_that_says_what_is_left(arguments: list[str], tmp_path: Path) -> None:
    result = run([*arguments, *DIVERGING, "--measure-every", "1", "--save-every", "0"])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    (line,) = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert "try a lower learning rate or a longer warm-up; nothing was saved" in line
    assert not (tmp_path / "out" / "config.json").exists()
    later = run([*arguments, *DIVERGING, "--measure-every", "3", "--save-every", "0"])
    work = tmp_path / "out" / "training"
    assert f"; the last saved state is in {work}/state; other settings need another --output" in later.output


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), id="of a GPU"),
        pytest.param(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), id="of the computer"),
    ],
)
def test_a_lack_of_memory_is_one_line_that_says_what_helps(
    arguments: list[str], error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("finetuning.objective.FileObjective.loss", fail)
    result = run(arguments)
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].startswith(
        "Error: out of memory: try a smaller --batch-size with --accumulate, --gradient-checkpointing or a shorter "
        "--max-length; nothing was saved"
    )


def test_any_other_error_is_not_taken_for_a_lack_of_memory(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr("finetuning.objective.FileObjective.loss", fail)
    assert isinstance(run(arguments).exception, RuntimeError)


def test_without_matplotlib_nothing_is_begun(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run(arguments)
    assert result.exit_code == 1
    assert "needs the package 'matplotlib', which is not installed: pip install" in result.output
    assert not (tmp_path / "out").exists()


def test_a_picture_that_cannot_be_drawn_costs_a_note_alone(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("no font")

    monkeypatch.setattr("finetuning.history.draw", fail)
    result = run(arguments)
    assert result.exit_code == 0, result.output
    assert read_checkpoint(tmp_path / "out").task == "classify"
    assert f"{tmp_path}/out/training/curve.png: not drawn: ValueError: no font" in result.output


def test_the_picture_is_drawn_anew_at_every_measurement(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []

    def count(history: History, path: Path, **_: object) -> None:
        drawn.append(len(history.measurements))
        path.write_bytes(b"")

    monkeypatch.setattr("finetuning.history.draw", count)
    assert run([*arguments, "--steps", "6", "--measure-every", "2"]).exit_code == 0
    assert drawn == [1, 2, 3, 3]
