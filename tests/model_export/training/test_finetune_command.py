"""The command itself, in processes of its own: what it makes, what it says, and that a kill loses nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import transformers
from click.testing import CliRunner, Result

from bigbird_cli.finetune_command import command
from model_export.checkpoints.recognise import read_checkpoint
from model_export.training.state_file import read_state
from tests.model_export.training.small_models import save_small_checkpoint

ROOT = Path(__file__).resolve().parents[3]


def texts(path: Path, count: int, first: int = 0) -> Path:
    """Texts whose label is whether Acme or Borealis is named in them."""
    lines = ["sentence\tlabel"]
    for number in range(first, first + count):
        name = ("Acme", "Borealis")[number % 2]
        lines.append(f"Alice leads {name} in {['Paris', 'New', 'York', 'Paris'][number % 4]}.\t{name}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def arguments(encoder: Path, tmp_path: Path) -> list[str]:
    train, evaluation = texts(tmp_path / "train.tsv", 40), texts(tmp_path / "eval.tsv", 20, first=40)
    files = ["--train", str(train), "--eval", str(evaluation), "--output", str(tmp_path / "out")]
    return [str(encoder), "--task", "classify", *files, "--epochs", "2", "--learning-rate", "0.001"]


def run(arguments: list[str]) -> Result:
    return CliRunner().invoke(command, arguments)


def curve(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "training" / "curve.jsonl").read_text().splitlines()]


def test_it_makes_a_checkpoint_with_card_and_curve(arguments: list[str], tmp_path: Path) -> None:
    result = run(arguments)
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    assert {file.name for file in out.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "spiece.model",
        "training",
    }
    checkpoint = read_checkpoint(out)
    _, loading = transformers.BigBirdForSequenceClassification.from_pretrained(out, output_loading_info=True)
    assert not loading["unexpected_keys"]
    assert all(key.startswith("bert.pooler.") for key in loading["missing_keys"])
    assert checkpoint.task == "classify"
    assert checkpoint.config.labels == ("Acme", "Borealis")
    assert checkpoint.config.problem_type == "single_label_classification"
    card = (out / "README.md").read_text()
    assert "the checkpoint has no head: it gets a new one for classify, drawn with seed 1" in card
    assert "bigbird export out --output bundles/out" in card
    assert (out / "training" / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert [entry["step"] for entry in curve(out) if "loss" in entry] == list(range(1, 11))
    assert f"next: bigbird export {out} --output bundles/out" in result.output
    assert (out / "model.safetensors").stat().st_mode == (out / "config.json").stat().st_mode


def test_a_second_run_finds_it_finished_and_another_setting_is_refused(arguments: list[str], tmp_path: Path) -> None:
    first = run(arguments)
    before = (tmp_path / "out" / "model.safetensors").read_bytes()
    again = run(arguments)
    assert again.exit_code == 0
    assert "finished already" in again.output
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before
    other = run([*arguments, "--epochs", "3", "--seed", "2"])
    assert other.exit_code == 1
    assert "a training with seed 1, not 2; epochs 2, not 3" in other.output.splitlines()[-1]
    assert first.exit_code == 0


def test_a_killed_run_goes_on_and_ends_with_the_same_curve_and_weights_bit_for_bit(
    encoder: Path, tmp_path: Path
) -> None:
    checkpoint = save_small_checkpoint(tmp_path / "start", "embed", hidden_dropout_prob=0.1)
    train, evaluation = texts(tmp_path / "train.tsv", 80), texts(tmp_path / "eval.tsv", 8, first=80)

    def start(output: Path) -> subprocess.Popen[bytes]:
        files = ["--train", str(train), "--eval", str(evaluation), "--output", str(output)]
        options = ["--steps", "60", "--save-every", "0", "--measure-every", "15", "--random-blocks", "fresh"]
        return subprocess.Popen(
            [sys.executable, "-m", "bigbird_cli", "finetune", str(checkpoint), "--task", "classify", *files, *options],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    assert start(tmp_path / "straight").wait() == 0
    killed = start(tmp_path / "killed")
    state = tmp_path / "killed" / "training" / "state"
    while not (state.exists() and read_state(state)["position"]["total_steps"] >= 20):
        assert killed.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert 20 <= read_state(state)["position"]["total_steps"] < 60
    assert start(tmp_path / "killed").wait() == 0
    assert curve(tmp_path / "killed") == curve(tmp_path / "straight")
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("killed", "straight")]
    assert weights[0] == weights[1]


SQUAD = {"data": [{"paragraphs": [{"context": "Alice leads Acme.", "qas": [
    {"id": "1", "question": "Who leads?", "answers": [{"text": "Bob", "answer_start": 0}]}
]}]}]}  # fmt: skip

MALFORMED = [
    pytest.param("qa", "q.json", json.dumps(SQUAD).encode(), "q.json:1: the answer 'Bob' does not", id="no answer"),
    pytest.param("qa", "q.json", b'{"data": [\n {"title": ""}]}', "q.json:2: ", id="a missing field"),
    pytest.param("classify", "t.tsv", b"sentence\tlabel\nAlice\tA\nBob\n", "t.tsv:3: 1 columns", id="a missing column"),
    pytest.param("classify", "t.tsv", b"sentence\tlabel\nAl\xffice\tA\n", "t.tsv:2: not UTF-8", id="wrong encoding"),
    pytest.param("classify", "t.tsv", b"", "t.tsv: the file is empty", id="an empty file"),
    pytest.param("classify", "t.tsv", b"sentence\tlabel\nBob\tA\n", "t.tsv: every text has the label", id="one label"),
    pytest.param("ner", "n.conll", b"Alice B-PER\nBob\n", "n.conll:2: one column", id="a word without tag"),
    pytest.param("ner", "n.conll", b"Alice O\n", "n.conll: no entity is tagged", id="no entity"),
    pytest.param("fill-mask", "t.jsonl", b'{"text": "Al"}\n{"txt": 1}\n', "t.jsonl:2: ", id="a line without text"),
]


@pytest.mark.parametrize(("task", "name", "content", "message"), MALFORMED)
def test_a_malformed_file_is_one_line_with_file_and_line(
    encoder: Path, tmp_path: Path, task: str, name: str, content: bytes, message: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    files = ["--train", str(file), "--eval", str(file), "--output", str(tmp_path / "out")]
    result = run([str(encoder), "--task", task, *files])
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert f"{tmp_path}/{message}" in result.output
    assert not (tmp_path / "out").exists()


def test_an_unknown_label_of_the_evaluation_file_is_named_with_its_line(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "eval.tsv").write_text("sentence\tlabel\nAlice leads.\tAcme\nBob leads.\tZeta\n")
    result = run(arguments)
    assert result.exit_code == 1
    assert result.output == (
        f"Error: {tmp_path}/eval.tsv:3: unknown label 'Zeta'; the model's labels are: Acme, Borealis\n"
    )


REFUSED = [
    pytest.param(["--max-length", "100"], "max-length: must be a multiple of the block size 16", id="length"),
    pytest.param(["--precision", "fp16", "--device", "cpu"], "precision: fp16 needs a GPU", id="fp16 on a CPU"),
]


@pytest.mark.parametrize(("more", "message"), REFUSED)
def test_a_setting_that_cannot_be_is_one_line(arguments: list[str], more: list[str], message: str) -> None:
    result = run([*arguments, *more])
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].startswith(f"Error: {message}")


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


def test_gradient_checkpointing_and_accumulation_give_the_same_curve(arguments: list[str], tmp_path: Path) -> None:
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    checkpoint = save_small_checkpoint(tmp_path / "start", "embed", **no_dropout)
    common = [str(checkpoint), *arguments[1:], "--precision", "fp32", "--steps", "6"]
    plain = ["--batch-size", "8"]
    cut = ["--batch-size", "3", "--accumulate", "3", "--gradient-checkpointing"]
    whole = ["--batch-size", "9"]
    losses = {}
    for name, options in (("plain", plain), ("cut", cut), ("whole", whole)):
        result = run([*common, *options, "--output", str(tmp_path / name)])
        assert result.exit_code == 0, result.output
        losses[name] = [entry["loss"] for entry in curve(tmp_path / name) if "loss" in entry]
    assert losses["cut"] == pytest.approx(losses["whole"], abs=1e-5)
    assert losses["plain"] != pytest.approx(losses["whole"], abs=1e-3)
