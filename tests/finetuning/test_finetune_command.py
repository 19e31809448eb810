"""The command itself: what it makes, what it says, and what its settings do."""

import contextlib
import json
import shlex
from pathlib import Path

import pytest
import transformers
from click.testing import CliRunner

from bigbird_cli.export_command import command as export_command
from model_export.checkpoints.recognise import read_checkpoint
from tests.finetuning.command_line import curve, run
from tests.finetuning.small_models import save_small_checkpoint


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
    # Its pairs are trained as they are served, whatever transformers would have given them.
    assert (checkpoint.pair_types, json.loads((out / "config.json").read_text())["pair_types"]) == ("segments",) * 2
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


@pytest.mark.integration
def test_the_bundle_of_the_printed_command_has_the_windows_that_were_measured(
    arguments: list[str], tmp_path: Path
) -> None:
    """The small model attends fully up to 112 tokens."""
    more = ["--max-length", "64", "--window-stride", "24", "--pattern", "google"]
    result = run([*arguments, "--steps", "1", *more])
    assert result.exit_code == 0, result.output
    printed = shlex.split(result.output.splitlines()[-1])
    assert printed[:4] == ["next:", "bigbird", "export", str(tmp_path / "out")]
    with contextlib.chdir(tmp_path):
        exported = CliRunner().invoke(export_command, printed[3:])
    assert exported.exit_code == 0, exported.output
    manifest = json.loads((tmp_path / "bundles" / "out" / "manifest.json").read_text())
    card = (tmp_path / "out" / "README.md").read_text()
    assert manifest["max_length"] == 64
    assert "- Windows of 64 tokens in training and measuring" in card
    assert "The figures are those of requests with `window_stride`: 24." in card
    assert shlex.join(["bigbird", "export", "out", *printed[4:]]) in card


def test_masks_are_filled_in_texts_of_any_length_whatever_the_windows_of_the_training(
    encoder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("Alice leads the office in Paris.\n\nBob works in New York.\n")
    files = ["--train", str(file), "--eval", str(file), "--output", str(tmp_path / "out")]
    result = run([str(encoder), "--task", "fill-mask", *files, "--steps", "1", "--max-length", "64"])
    assert result.exit_code == 0, result.output
    assert "note: " not in result.output
    assert f"next: bigbird export {tmp_path}/out --output bundles/out\n" in result.output


def test_the_pattern_goes_from_one_training_to_the_next_and_is_told(arguments: list[str], tmp_path: Path) -> None:
    first = run([*arguments, "--steps", "1", "--pattern", "google"])
    assert ", random blocks of google; " in first.output
    following = [str(tmp_path / "out"), *arguments[1:], "--output", str(tmp_path / "next")]
    second = run([*following, "--steps", "1"])
    assert ", random blocks of google; the checkpoint's head for classify is kept" in second.output
    assert read_checkpoint(tmp_path / "next").default_pattern == "google"


def test_questions_that_are_left_out_are_told_and_stand_in_the_card(encoder: Path, tmp_path: Path) -> None:
    answer = "Bob works in Paris and the budget of the project is in euros " * 4
    questions = [
        {"id": "1", "question": "Who?", "answers": [{"text": "Alice", "answer_start": 0}]},
        {"id": "2", "question": "What?", "answers": [{"text": answer.strip(), "answer_start": 13}]},
    ]
    file = tmp_path / "q.json"
    paragraph = {"context": f"Alice leads. {answer}", "qas": questions}
    file.write_text(json.dumps({"data": [{"paragraphs": [paragraph]}]}))
    files = ["--train", str(file), "--eval", str(file), "--output", str(tmp_path / "out")]
    command = [str(encoder), "--task", "qa", *files, "--steps", "1", "--max-length", "112"]
    result = run(command)
    assert result.exit_code == 0, result.output
    assert "note: 1 of 2 questions of q.json are left out: their answers lie whole in no window" in result.output
    assert f"{file}:1: the answer 'Bob works in Paris" in result.output
    card = (tmp_path / "out" / "README.md").read_text()
    assert "- 1 of 2 questions of q.json are left out: their answers lie whole in no window" in card
    other = run([*command, "--max-answer-tokens", "99"])
    assert other.exit_code == 1
    assert "a training with max-answer-tokens 30, not 99" in other.output.splitlines()[-1]


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
