"""A training that was stopped or crashed goes on as if it never had."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from finetuning.progress import Progress
from finetuning.state_file import read_state, write_state
from model_export.errors import ExportError
from tests.finetuning.parity import Parity, small_model, trainer


def test_a_resumed_training_has_the_losses_and_weights_of_one_that_never_stopped_bit_for_bit(tmp_path: Path) -> None:
    model = small_model(dropout=0.2)
    straight = trainer(Parity(), tmp_path / "straight", model, seconds_between_saves=0)
    straight.run(Progress("x"))
    objective = Parity()
    objective.stop_at = 5
    with pytest.raises(KeyboardInterrupt):
        trainer(objective, tmp_path / "stopped", small_model(0.2), seconds_between_saves=0).run(Progress("x"))
    torch.manual_seed(99)  # whatever the process did before
    resumed = trainer(Parity(), tmp_path / "stopped", small_model(0.2))
    assert resumed.resume()
    assert resumed.position.total_steps == 5
    resumed.run(Progress("x"))
    assert resumed.history.losses == straight.history.losses
    for name, weight in straight.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name]), name


def test_a_state_of_other_settings_is_refused_and_they_are_named(tmp_path: Path) -> None:
    trainer(Parity(), tmp_path / "state").run(Progress("x"))
    with pytest.raises(ExportError, match=r"a training with rate 0\.01, not 0\.02\. Give the same settings"):
        trainer(Parity(), tmp_path / "state", learning_rate=0.02).resume()


def test_a_file_that_is_no_state_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"nonsense")
    with pytest.raises(ExportError, match="cannot be read as the state of a training"):
        trainer(Parity(), tmp_path / "state").resume()


def test_the_best_weights_and_the_history_agree_after_a_crash_long_before_the_next_save(tmp_path: Path) -> None:
    plan: dict[str, Any] = {"steps_per_measurement": 2, "keep_best": True, "patience": 2, "seconds_between_saves": 1e9}
    scores = [0.1, 0.7, 0.3, 0.2]
    straight = trainer(Parity(scores=scores), tmp_path / "straight", **plan)
    straight.run(Progress("x"))
    straight.load_best()
    objective = Parity(scores=scores)
    objective.stop_at = 7  # the best was measured after step 4, a worse one after step 6
    with pytest.raises(KeyboardInterrupt):
        trainer(objective, tmp_path / "stopped", **plan).run(Progress("x"))
    resumed = trainer(Parity(scores=scores[2:]), tmp_path / "stopped", **plan)
    assert resumed.resume()
    assert resumed.position.total_steps == 4
    best = resumed.history.best
    assert best is not None and (best.total_steps, best.score) == (4, 0.7)
    resumed.run(Progress("x"))
    assert resumed.history.measurements == straight.history.measurements
    resumed.load_best()
    for name, weight in straight.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name]), name


def test_best_weights_that_a_crash_kept_from_being_written_are_those_of_the_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan: dict[str, Any] = {"steps_per_measurement": 2, "keep_best": True, "seconds_between_saves": 1e9}
    straight = trainer(Parity(scores=[0.1, 0.7]), tmp_path / "straight", **plan)
    straight.run(Progress("x"))
    crashing = trainer(Parity(scores=[0.1, 0.7]), tmp_path / "stopped", **plan)

    def write_until_the_second_best(path: Path, state: Mapping[str, Any]) -> None:
        if path == crashing.best_file and state["total_steps"] == 4:
            raise KeyboardInterrupt
        write_state(path, state)

    monkeypatch.setattr("finetuning.trainer.write_state", write_until_the_second_best)
    with pytest.raises(KeyboardInterrupt):
        crashing.run(Progress("x"))
    monkeypatch.undo()
    assert read_state(crashing.best_file)["total_steps"] == 2
    resumed = trainer(Parity(), tmp_path / "stopped", **plan)
    assert resumed.resume()
    resumed.load_best()
    straight.load_best()
    for name, weight in straight.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name]), name


def test_a_training_that_is_asked_to_stop_saves_after_its_step_and_goes_on_later(tmp_path: Path) -> None:
    straight = trainer(Parity(), tmp_path / "straight")
    straight.run(Progress("x"))
    stopped = trainer(Parity(), tmp_path / "stopped", seconds_between_saves=1e9)
    asked = iter([False, False, True])
    stopped.run(Progress("x"), lambda: next(asked))
    assert stopped.position.total_steps == 3
    resumed = trainer(Parity(), tmp_path / "stopped")
    assert resumed.resume()
    resumed.run(Progress("x"))
    assert resumed.history.losses == straight.history.losses
