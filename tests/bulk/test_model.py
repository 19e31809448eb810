"""A job on a GPU: its rungs are tried and compared as the server's are, before anything is answered by them."""

from pathlib import Path

import pytest

from bigbird_inference.runtime.cuda.features import RUNGS, RungName, RungOutcome
from bulk import model
from tests.bigbird_inference.runtime.cuda.stand_in import StandIn, gpu
from tests.service.models.test_gpu_features import GPU, OWN, write_gpu_bundle

__all__ = ["gpu"]


@pytest.fixture
def bundle(tmp_path: Path, control_vocabulary: Path, gpu: StandIn, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_gpu_bundle(tmp_path / "sums", control_vocabulary)
    monkeypatch.setattr(model, "choose", lambda device, probe: GPU)
    monkeypatch.setattr(model, "try_rungs", lambda *arguments: [])
    return tmp_path / "sums"


def states(folder: Path) -> dict[RungName, str]:
    (ladder,) = model.load(folder).ladders
    return {outcome.rung: outcome.state for outcome in ladder.outcomes}


@pytest.mark.parametrize("rung", ["fused_attention", "iobinding"])
def test_a_rung_with_other_numbers_is_off(bundle: Path, gpu: StandIn, rung: RungName) -> None:
    gpu.off.update(dict.fromkeys(OWN[rung], 0.1))
    assert states(bundle)[rung] == "wrong"


def test_a_rung_that_ended_its_trial_is_not_opened(bundle: Path, gpu: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    crashed = [RungOutcome(rung, "failed", "it crashed") for rung in RUNGS]
    monkeypatch.setattr(model, "try_rungs", lambda *arguments: crashed)
    assert set(states(bundle).values()) == {"failed"}
