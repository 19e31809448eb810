"""Adapters of low rank: what is trained, what is saved, and that it merges to what was trained."""

import json
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from finetuning.lora import LoraLinear, adapt
from finetuning.start import Start, tell_case
from finetuning.stop_signals import StopSignals
from model_export.checkpoints.checkpoint import CheckpointOptions
from model_export.checkpoints.recognise import read_checkpoint
from model_export.errors import ConfigError
from model_export.nn.model import BigBird
from model_export.patterns.registry import get_pattern
from model_export.preparation import ExportOptions, prepare
from tests.finetuning.command_line import curve, run
from tests.finetuning.small_models import load, save_small_checkpoint

NAMES = ("Alice", "Bob", "Carol")
PLACES = ("Paris", "New York")


def entity_texts(path: Path, count: int) -> Path:
    """Documents of two sentences in JSON lines, whose names are spelt with capitals."""
    lines = []
    for number in range(count):
        name, place = NAMES[number % 3], PLACES[number % 2]
        text = f"The budget is in euros. {name} works in {place}."
        spans = [(name, "PER"), (place, "LOC")]
        entities = [[text.index(span), text.index(span) + len(span), label] for span, label in spans]
        lines.append(json.dumps({"text": text, "entities": entities}))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def command(encoder: Path, tmp_path: Path) -> list[str]:
    files = [entity_texts(tmp_path / f"{name}.jsonl", count) for name, count in (("train", 24), ("eval", 6))]
    return [
        *(str(encoder), "--task", "ner", "--train", str(files[0]), "--eval", str(files[1])),
        *("--output", str(tmp_path / "out"), "--lora", "4", "--token-types", "case", "--pack", "--dropout", "0"),
        *("--batch-size", "2", "--steps", "30", "--learning-rate", "0.01", "--precision", "fp32"),
    ]


def test_an_adapter_is_trained_saved_and_merged_to_the_model_that_was_measured(
    command: list[str], encoder: Path, tmp_path: Path
) -> None:
    before = (encoder / "model.safetensors").read_bytes()
    result = run(command)
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    assert {file.name for file in out.iterdir()} == {
        *("README.md", "adapter_config.json", "adapter_model.safetensors", "config.json", "training"),
    }
    assert (encoder / "model.safetensors").read_bytes() == before
    losses = [entry["loss"] for entry in curve(out) if "loss" in entry]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])

    checkpoint = read_checkpoint(out, CheckpointOptions())
    assert (checkpoint.task, checkpoint.config.token_types) == ("ner", "case")
    merged = checkpoint.load(get_pattern("transformers")).model
    trained = torch.load(out / "training" / "state.best", weights_only=True)["model"]
    # What moved, and nothing else, stands in the state: neither words nor the encoder's own weights.
    kinds = {name.split(".")[0] for name in trained}
    assert kinds == {"embeddings", "encoder", "head"}
    assert {name for name in trained if name.startswith("embeddings")} == {"embeddings.token_type.weight"}
    assert all(".lora_" in name for name in trained if name.startswith("encoder"))

    base, own = load(encoder, "embed").state_dict(), merged.state_dict()
    name = "encoder.layers.0.attention.query"
    product = trained[f"{name}.lora_B"] @ trained[f"{name}.lora_A"]
    assert product.abs().max() > 0.01
    torch.testing.assert_close(own[f"{name}.weight"], base[f"{name}.weight"] + 2 * product)
    assert torch.equal(own["embeddings.word.weight"], base["embeddings.word.weight"])
    assert torch.equal(own["embeddings.token_type.weight"], trained["embeddings.token_type.weight"])
    assert torch.equal(own["head.output.weight"], trained["head.output.weight"])
    assert f"bigbird export out --base {encoder} --output bundles/out" in (out / "README.md").read_text()


def test_what_begins_from_nothing_learns_at_a_higher_rate(command: list[str], encoder: Path, tmp_path: Path) -> None:
    assert run([*command, "--steps", "1", "--weight-decay", "0"]).exit_code == 0
    trained = torch.load(tmp_path / "out" / "training" / "state.best", weights_only=True)["model"]
    # Adam's first step moves each weight by its learning rate.
    first_row = load(encoder, "embed").state_dict()["embeddings.token_type.weight"][0]
    of_types = (trained["embeddings.token_type.weight"] - first_row).abs().max()
    of_wide = torch.stack([weight.abs().max() for name, weight in trained.items() if name.endswith("lora_B")]).max()
    assert of_wide > 0
    torch.testing.assert_close(of_types / of_wide, torch.tensor(10 / 4), rtol=0.01, atol=0)


def test_an_adapter_is_named_as_peft_names_it(command: list[str], tmp_path: Path) -> None:
    assert run([*command, "--steps", "1"]).exit_code == 0
    names = load_file(tmp_path / "out" / "adapter_model.safetensors").keys()
    layer = "base_model.model.bert.encoder.layer.0"
    assert {
        f"{layer}.attention.self.query.lora_A.weight",
        f"{layer}.attention.output.dense.lora_B.weight",
        f"{layer}.intermediate.dense.lora_A.weight",
        f"{layer}.output.dense.lora_B.weight",
        "base_model.model.classifier.weight",
        "base_model.model.classifier.bias",
        "base_model.model.bert.embeddings.token_type_embeddings.weight",
    } <= names
    said = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (said["r"], said["lora_alpha"], said["task_type"]) == (4, 8, "TOKEN_CLS")
    assert said["modules_to_save"] == ["classifier", "token_type_embeddings"]


def adapted(encoder: Path) -> BigBird:
    model, _ = Start.find(encoder, "ner").model(("O", "B-PER", "I-PER"), None, get_pattern("transformers"), 1)
    tell_case(model)
    adapt(model, 3, seed=1)
    return model


def test_the_product_and_its_gradients_are_those_of_two_layers_beside_one_another() -> None:
    torch.manual_seed(0)
    layer = LoraLinear(torch.nn.Linear(6, 5), 2, torch.Generator().manual_seed(1))
    torch.nn.init.normal_(layer.lora_B)
    values = torch.randn(3, 4, 6, requires_grad=True)
    weights = torch.randn(3, 4, 5)

    def gradients(product: torch.Tensor) -> list[torch.Tensor]:
        wanted = [values, layer.lora_A, layer.lora_B]
        return list(torch.autograd.grad((product * weights).sum(), wanted))

    beside = torch.nn.functional.linear(values, layer.weight, layer.bias)
    beside = beside + 2 * (values @ layer.lora_A.T) @ layer.lora_B.T
    torch.testing.assert_close(layer(values), beside)
    for own, expected in zip(gradients(layer(values)), gradients(beside), strict=True):
        torch.testing.assert_close(own, expected)
    with torch.no_grad():
        torch.testing.assert_close(layer(values), beside)


def test_an_adapted_model_begins_as_its_base_whatever_the_case(encoder: Path) -> None:
    bare, _ = Start.find(encoder, "ner").model(("O", "B-PER", "I-PER"), None, get_pattern("transformers"), 1)
    model = adapted(encoder)
    ids = torch.arange(5, 25)[None]
    mask = torch.ones_like(ids)
    with torch.no_grad():
        expected = bare.eval()(ids, mask, torch.zeros_like(ids))
        torch.testing.assert_close(model.eval()(ids, mask, ids % 4), expected)


def test_a_training_that_was_stopped_goes_on_to_the_same_adapter(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [*command, "--steps", "4"]
    assert run([*command, "--output", str(tmp_path / "straight")]).exit_code == 0

    def stop_after_two_steps(signals: StopSignals) -> bool:
        asked.append(True)
        signals.received = signal.SIGTERM if len(asked) >= 2 else None
        return signals.received is not None

    asked: list[bool] = []
    with monkeypatch.context() as stopping:
        stopping.setattr(StopSignals, "is_received", stop_after_two_steps)
        assert "stopped after 2 steps" in run(command).output
    assert not (tmp_path / "out" / "adapter_model.safetensors").exists()
    again = run(command)
    assert again.exit_code == 0 and "going on after 2 steps" in again.output
    adapters = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("straight", "out")]
    assert adapters[0] == adapters[1]


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("fill-mask", "lora: there are adapters for classify, ner, qa; train fill-mask without --lora"),
        ("classify", "Error: --token-types is for --task ner"),
    ],
)
def test_what_has_no_adapter_or_no_case_is_refused(
    arguments: list[str], encoder: Path, tmp_path: Path, task: str, message: str
) -> None:
    if task == "classify":
        result = run([*arguments, "--token-types", "case"])
    else:
        texts = tmp_path / "texts.txt"
        texts.write_text("Alice leads the office in Paris.\n")
        files = ["--train", str(texts), "--eval", str(texts), "--output", str(tmp_path / "out")]
        result = run([str(encoder), "--task", task, *files, "--lora", "2", "--steps", "1"])
    assert result.exit_code != 0
    assert message in result.output


def test_a_checkpoint_with_case_is_refused_for_pairs(tmp_path: Path, command: list[str], encoder: Path) -> None:
    assert run([*command, "--steps", "1"]).exit_code == 0
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    plain = save_small_checkpoint(tmp_path, "classify", type_vocab_size=4)
    values = json.loads((plain / "config.json").read_text())
    (plain / "config.json").write_text(json.dumps({**values, "token_types": config["token_types"]}))
    with pytest.raises(ConfigError, match="token_types: case is for single texts in the task ner, not for"):
        prepare(plain, ["fp32"], ExportOptions())
