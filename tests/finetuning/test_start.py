import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from finetuning.start import Start
from model_export.checkpoints.huggingface import save_checkpoint
from model_export.checkpoints.recognise import read_checkpoint
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError
from model_export.nn.model import BigBird
from model_export.patterns.registry import get_pattern
from tests.finetuning.small_models import load, save_small_checkpoint

ROOT = Path(__file__).resolve().parents[2]
PATTERN = get_pattern("transformers")
LABELS = ("O", "B-PER", "I-PER")


def started(folder: Path, task: str, labels: tuple[str, ...] = (), seed: int = 1) -> tuple[BigBird, str]:
    problem = "single_label_classification" if task == "classify" else None
    return Start.find(folder, task).model(labels, problem, PATTERN, seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("task", ["qa", "classify", "ner", "fill-mask"])
def test_a_checkpoint_without_head_gets_one_drawn_from_the_seed(encoder: Path, task: str) -> None:
    (first, line), (again, _), (other, _) = (started(encoder, task, LABELS, seed) for seed in (1, 1, 2))
    assert line == f"the checkpoint has no head: it gets a new one for {task}, drawn with seed 1"
    matrices = [name for name, weight in first.head.named_parameters() if weight.ndim == 2]
    assert matrices
    for name in matrices:
        assert torch.equal(first.head.get_parameter(name), again.head.get_parameter(name))
        assert not torch.equal(first.head.get_parameter(name), other.head.get_parameter(name))
        assert first.head.get_parameter(name).std().item() == pytest.approx(0.02, rel=0.5)
    for name, weight in load(encoder, "embed").encoder.state_dict().items():
        assert torch.equal(weight, first.encoder.state_dict()[name])


def test_a_head_for_another_task_is_replaced_and_the_encoder_kept(tmp_path: Path) -> None:
    checkpoint = save_small_checkpoint(tmp_path, "classify")
    model, line = started(checkpoint, "ner", LABELS)
    assert line.startswith("the checkpoint's head is for classify: its encoder is kept, and gets a new one for ner")
    assert model.config.labels == LABELS
    assert torch.equal(model.embeddings.word.weight, load(checkpoint, "embed").embeddings.word.weight)


def test_a_head_for_the_task_is_kept_where_it_knows_the_labels(tmp_path: Path) -> None:
    checkpoint = save_small_checkpoint(tmp_path, "ner", id2label=dict(enumerate(LABELS)))
    model, line = started(checkpoint, "ner", LABELS)
    assert line == "the checkpoint's head for ner is kept"
    assert torch.equal(model.head.output.weight, load(checkpoint, "ner").head.output.weight)  # type: ignore[union-attr]
    other, line = started(checkpoint, "ner", ("O", "B-LOC", "I-LOC"))
    assert line.startswith("the checkpoint's head is for other labels (O, B-PER, I-PER)")
    assert other.config.labels == ("O", "B-LOC", "I-LOC")


def test_a_kept_head_has_as_many_labels_as_its_weights(tmp_path: Path) -> None:
    checkpoint = save_small_checkpoint(tmp_path, "ner", id2label=dict(enumerate(LABELS)))
    config = checkpoint / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"id2label": {"0": "O", "1": "B-PER"}}))
    assert Start.find(checkpoint, "ner").own_labels == ("O", "B-PER", "LABEL_2")
    model, line = started(checkpoint, "ner", ("O", "B-PER"))
    assert line == "the checkpoint's head for ner is kept"
    assert model.config.labels == ("O", "B-PER", "LABEL_2")


def test_a_head_for_natural_questions_is_kept_for_its_spans(tmp_path: Path) -> None:
    checkpoint = save_small_checkpoint(tmp_path, "natural-questions")
    model, line = started(checkpoint, "qa")
    assert line == (
        "the checkpoint's head for qa is kept, without its answer types: the training data does not tell them"
    )
    whole = load(checkpoint, "qa")
    assert torch.equal(model.head.output.weight, whole.head.output.weight)  # type: ignore[union-attr]
    ids = torch.ones(1, 16, dtype=torch.int64)
    spans, _ = whole(ids, ids, ids)
    assert torch.equal(model.eval()(ids, ids, ids), spans)
    save_checkpoint(model, "qa", tmp_path)
    assert "has_answer_types" not in (tmp_path / "config.json").read_text()


def test_a_configuration_that_names_no_task_is_a_checkpoint_without_head(encoder: Path, tmp_path: Path) -> None:
    for file in encoder.iterdir():
        content = file.read_bytes()
        if file.name == "config.json":
            content = content.replace(b"BigBirdModel", b"SomethingElse")
        (tmp_path / file.name).write_bytes(content)
    with pytest.raises(CheckpointError, match="name no task"):
        read_checkpoint(tmp_path)
    _, line = started(tmp_path, "qa")
    assert line.startswith("the checkpoint has no head")


def test_a_folder_without_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        Start.find(tmp_path, "qa")


def test_dropout_is_that_of_the_checkpoint(tmp_path: Path) -> None:
    checkpoint = save_small_checkpoint(tmp_path, "embed", hidden_dropout_prob=0.25, attention_probs_dropout_prob=0.5)
    model, _ = started(checkpoint, "qa")
    rates = {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {0.25, 0.5}
    assert BigBirdConfig().labels == model.config.labels


def test_the_pattern_of_another_source_stays_when_the_head_is_taken_off(tmp_path: Path) -> None:
    checkpoint = save_small_checkpoint(tmp_path, "qa")
    model = read_checkpoint(checkpoint).load(PATTERN).model
    save_checkpoint(model, "qa", checkpoint, pattern="google")
    command = [sys.executable, "-m", "scripts.take_head_off", str(checkpoint), str(tmp_path / "encoder")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert Start.find(tmp_path / "encoder", "qa").checkpoint.default_pattern == "google"
