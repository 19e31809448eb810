"""Runs in processes of their own that are killed or asked to end: nothing is lost."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from finetuning.state_file import read_state
from tests.finetuning.command_line import ROOT, curve, texts
from tests.finetuning.small_models import save_small_checkpoint

pytestmark = pytest.mark.integration  # takes long


@dataclass(frozen=True)
class LongRun:
    """A training of 60 steps in a process of its own."""

    checkpoint: Path
    train: Path
    evaluation: Path

    def start(self, output: Path, save_every: float) -> subprocess.Popen[str]:
        files = ["--train", str(self.train), "--eval", str(self.evaluation), "--output", str(output)]
        options = [
            "--steps",
            "60",
            "--measure-every",
            "15",
            "--random-blocks",
            "fresh",
            "--save-every",
            f"{save_every}",
        ]
        command = ["finetune", str(self.checkpoint), "--task", "classify", *files, *options]
        return subprocess.Popen(
            [sys.executable, "-m", "bigbird_cli", *command],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, output: Path) -> None:
        process = self.start(output, 0)
        _, errors = process.communicate()
        assert process.returncode == 0, errors


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> LongRun:
    folder = tmp_path_factory.mktemp("long")
    checkpoint = save_small_checkpoint(folder / "start", "embed", hidden_dropout_prob=0.1)
    train, evaluation = texts(folder / "train.tsv", 80), texts(folder / "eval.tsv", 8, first=80)
    return LongRun(checkpoint, train, evaluation)


@pytest.fixture(scope="module")
def straight(long_run: LongRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What comes out when nothing interrupts."""
    output = tmp_path_factory.mktemp("straight") / "out"
    long_run.finish(output)
    return output


def interrupt(process: subprocess.Popen[str], state: Path, after: int, number: signal.Signals) -> str:
    """Send a signal once so many steps are saved; returns what was printed."""
    while not (state.exists() and read_state(state)["position"]["total_steps"] >= after):
        assert process.poll() is None, "it ended before it could be interrupted"
        time.sleep(0.02)
    process.send_signal(number)
    return process.communicate()[1]


def test_a_killed_run_goes_on_and_ends_with_the_same_curve_and_weights_bit_for_bit(
    long_run: LongRun, straight: Path, tmp_path: Path
) -> None:
    state = tmp_path / "out" / "training" / "state"
    interrupt(long_run.start(tmp_path / "out", 0), state, 20, signal.SIGKILL)
    assert 20 <= read_state(state)["position"]["total_steps"] < 60
    long_run.finish(tmp_path / "out")
    assert curve(tmp_path / "out") == curve(straight)
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (straight / "model.safetensors").read_bytes()


def test_a_run_that_is_asked_to_end_saves_what_it_has_done_and_goes_on(
    long_run: LongRun, straight: Path, tmp_path: Path
) -> None:
    """Nothing is saved by time: the state is that of the first measurement, until the signal comes."""
    state = tmp_path / "out" / "training" / "state"
    process = long_run.start(tmp_path / "out", 1e6)
    said = interrupt(process, state, 15, signal.SIGTERM).splitlines()[-1]
    assert process.returncode == 128 + signal.SIGTERM
    steps = read_state(state)["position"]["total_steps"]
    assert said == f"{tmp_path}/out: stopped after {steps} steps, and saved: give the same command to go on"
    assert len([entry for entry in curve(tmp_path / "out") if "loss" in entry]) == steps
    long_run.finish(tmp_path / "out")
    assert curve(tmp_path / "out") == curve(straight)
