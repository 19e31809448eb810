"""Labels as they stand in real configurations; how many there are, the head's weights say."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from finetuning.start import Start
from model_export.checkpoints.checkpoint import CheckpointOptions
from model_export.checkpoints.labels import settle_labels
from model_export.checkpoints.recognise import read_checkpoint
from model_export.errors import CheckpointError, ConfigError
from model_export.patterns.registry import get_pattern
from tests.model_export.exported_models import save_model
from tests.model_export.reference_models import make_config, make_model

PATTERN = get_pattern("transformers")
NAMES = {"0": "O", "1": "B-PER", "2": "I-PER"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints whose heads have three outputs, saved by transformers."""
    folders = {}
    for task in ("classify", "ner"):
        model = make_model(task, make_config(100, hidden_size=12, intermediate_size=16, num_labels=3))
        folders[task] = save_model(model, tmp_path_factory.mktemp(task))
    return folders


def edited(saved: Path, folder: Path, **fields: Any) -> Path:
    """Copy a checkpoint; its configuration says nothing of labels but these fields."""
    shutil.copytree(saved, folder)
    values = json.loads((folder / "config.json").read_text())
    values = {name: value for name, value in values.items() if name not in ("id2label", "label2id", "num_labels")}
    (folder / "config.json").write_text(json.dumps(values | fields))
    return folder


@pytest.mark.parametrize(
    ("fields", "labels", "named"),
    [
        pytest.param({"id2label": NAMES}, "O B-PER I-PER", 3, id="complete"),
        pytest.param({"id2label": {"2": "I-PER", "0": "O", "1": "B-PER"}}, "O B-PER I-PER", 3, id="in another order"),
        pytest.param({"id2label": {"0": "O", "2": "B-PER"}}, "O LABEL_1 B-PER", 2, id="a gap"),
        pytest.param({"id2label": {"1": "O", "2": "B-PER"}}, "LABEL_0 O B-PER", 2, id="from 1"),
        pytest.param({"id2label": {"0": "O"}}, "O LABEL_1 LABEL_2", 1, id="shorter than the head"),
        pytest.param({"label2id": {"O": 0, "I-PER": 2, "B-PER": 1}}, "O B-PER I-PER", 3, id="label2id alone"),
        pytest.param(
            {"id2label": {"0": "O"}, "label2id": {"X": 0, "B-PER": 1, "I-PER": 2}},
            "O B-PER I-PER",
            3,
            id="label2id has what id2label lacks",
        ),
        pytest.param({"num_labels": 3}, "LABEL_0 LABEL_1 LABEL_2", 0, id="a number alone"),
        pytest.param({"num_labels": 7}, "LABEL_0 LABEL_1 LABEL_2", 0, id="another number than the head's"),
        pytest.param({}, "LABEL_0 LABEL_1 LABEL_2", 0, id="nothing"),
        pytest.param({"id2label": {}}, "LABEL_0 LABEL_1 LABEL_2", 0, id="no names"),
        pytest.param({"id2label": {"0": "O", "1": "  ", "2": None}}, "O LABEL_1 LABEL_2", 1, id="blank names"),
        pytest.param({"id2label": {"0": 0, "1": 1, "2": True}}, "0 1 True", 3, id="names that are not strings"),
    ],
)
@pytest.mark.parametrize("task", ["classify", "ner"])
def test_the_head_says_how_many_labels_there_are(
    saved: dict[str, Path], tmp_path: Path, task: str, fields: dict[str, Any], labels: str, named: int
) -> None:
    folder = edited(saved[task], tmp_path / "checkpoint", **fields)
    loaded = read_checkpoint(folder).load(PATTERN)
    assert loaded.model.config.labels == tuple(labels.split())
    made_up = ", ".join(label for label in labels.split() if label.startswith("LABEL_"))
    line = (
        f"labels: the configuration names {named} of the head's 3 outputs; made up: {made_up} "
        "(name all of them with --labels)"
    )
    assert loaded.changes == ((line,) if made_up else ())
    # A fine-tuning that goes on with the head knows it by the same names.
    assert Start.find(folder, task).own_labels == loaded.model.config.labels


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        pytest.param(
            {"id2label": NAMES | {"-100": "ignored", "99999999999": "X"}},
            "id2label: left out, as no output has such a number: -100, 99999999999",
            id="id2label",
        ),
        pytest.param(
            {"label2id": {"O": 0, "B-PER": 1, "I-PER": 2, "ignored": -100}},
            "label2id: left out, as no output has such a number: ignored",
            id="label2id",
        ),
    ],
)
def test_numbers_that_no_output_has_are_left_out_and_told(
    saved: dict[str, Path], tmp_path: Path, fields: dict[str, Any], line: str
) -> None:
    folder = edited(saved["ner"], tmp_path / "checkpoint", **fields)
    loaded = read_checkpoint(folder).load(PATTERN)
    assert loaded.model.config.labels == ("O", "B-PER", "I-PER")
    assert loaded.changes == (line,)
    named = read_checkpoint(folder, CheckpointOptions(labels=("A", "B", "C")))
    assert named.changes == ()


def test_names_beyond_the_head_are_left_out(saved: dict[str, Path], tmp_path: Path) -> None:
    folder = edited(saved["ner"], tmp_path / "checkpoint", id2label=NAMES | {"3": "B-LOC", "4": "I-LOC"})
    loaded = read_checkpoint(folder).load(PATTERN)
    assert loaded.model.config.labels == ("O", "B-PER", "I-PER")
    assert loaded.changes == ("labels: the head has 3 outputs; left out: B-LOC, I-LOC",)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"id2label": {"0": "PER", "1": "O", "2": "PER"}}, id="as given"),
        pytest.param({"id2label": {"0": "LABEL_1", "2": "O"}}, id="with a name that is made up"),
    ],
)
@pytest.mark.parametrize("task", ["classify", "ner"])
def test_two_outputs_of_one_name_are_refused_and_can_be_named(
    saved: dict[str, Path], tmp_path: Path, task: str, fields: dict[str, Any]
) -> None:
    folder = edited(saved[task], tmp_path / "checkpoint", **fields)
    with pytest.raises(ConfigError, match=r"^\S+checkpoint: labels: '(PER|LABEL_1)' is given twice.* --labels$"):
        read_checkpoint(folder).load(PATTERN)
    named = read_checkpoint(folder, CheckpointOptions(labels=("A", "B", "C"))).load(PATTERN)
    assert (named.model.config.labels, named.changes) == (("A", "B", "C"), ())
    # Nobody asks an encoder for them.
    assert read_checkpoint(folder, CheckpointOptions("embed")).load(PATTERN).changes == ()


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        pytest.param(("A", "B"), "labels: 2 are given, and the head has 3 outputs", id="too few"),
        pytest.param(("names.txt",), "or give a file that is there; none is 'names.txt'", id="no such file"),
        pytest.param(("A", "B", "A"), "'A' is given twice", id="one twice"),
        pytest.param(("A", "", "C"), "labels: number 1 has no name", id="an empty one"),
    ],
)
def test_given_labels_must_name_every_output(saved: dict[str, Path], labels: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_checkpoint(saved["ner"], CheckpointOptions(labels=labels)).load(PATTERN)


def test_given_labels_win_over_names_that_cannot_be_read(saved: dict[str, Path], tmp_path: Path) -> None:
    folder = edited(saved["ner"], tmp_path / "checkpoint", id2label=["A", "B", "C"], label2id=None)
    with pytest.raises(ConfigError, match="name the labels with --labels"):
        read_checkpoint(folder)
    loaded = read_checkpoint(folder, CheckpointOptions(labels=("O", "B-PER", "I-PER"))).load(PATTERN)
    assert loaded.model.config.labels == ("O", "B-PER", "I-PER")


def test_labels_are_given_for_tasks_that_have_some(saved: dict[str, Path]) -> None:
    with pytest.raises(CheckpointError, match="is for embed, whose answers have no labels; leave --labels out"):
        read_checkpoint(saved["ner"], CheckpointOptions("embed", labels=("A", "B", "C")))


@pytest.mark.parametrize("count", [0, 100_001])
def test_a_head_of_no_outputs_or_of_too_many_is_refused(count: int) -> None:
    with pytest.raises(ConfigError, match=f"labels: the head has {count} outputs, and can be served with 1 to 100000"):
        settle_labels((), count)
