import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from model_export.checkpoints.checkpoint import CheckpointOptions
from model_export.checkpoints.huggingface import save_checkpoint
from model_export.checkpoints.recognise import read_checkpoint
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError, ConfigError
from model_export.nn.model import build_model
from model_export.patterns.registry import get_pattern
from tests.model_export.exported_models import save_model
from tests.model_export.reference_models import (
    MODEL_CLASSES,
    Reference,
    make_config,
    make_document,
    make_model,
)

PATTERN = get_pattern("transformers")
Edit = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classification checkpoint in one file, saved by transformers."""
    model = make_model("classify", make_config(200, hidden_size=12, intermediate_size=16, num_labels=3))
    return save_model(model, tmp_path_factory.mktemp("classify"))


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint that a test may spoil."""
    return Path(shutil.copytree(saved, tmp_path / "checkpoint"))


def _edit_json(path: Path, edit: Edit) -> None:
    values = json.loads(path.read_text())
    edit(values)
    path.write_text(json.dumps(values))


def _edit_weights(folder: Path, edit: Edit) -> None:
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")


def _shard(folder: Path) -> None:
    """Split the weights over two files, as transformers does with large ones."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    weight_map = {}
    for number in (1, 2):
        names = sorted(tensors)[number - 1 :: 2]
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: tensors[name] for name in names}, folder / file)
        weight_map |= dict.fromkeys(names, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


@pytest.mark.parametrize(("task", "labels"), [("qa", 2), ("classify", 3), ("ner", 5)])
def test_the_task_and_the_weights_come_from_the_folder(task: str, labels: int, tmp_path: Path) -> None:
    theirs = make_model(task, make_config(200, hidden_size=12, intermediate_size=16, num_labels=labels))
    checkpoint = read_checkpoint(save_model(theirs, tmp_path))
    assert checkpoint.task == task
    assert checkpoint.tokenizer.special_tokens == {"cls": "[CLS]", "sep": "[SEP]", "pad": "<pad>", "mask": "[MASK]"}
    loaded = checkpoint.load(PATTERN)
    model = loaded.model
    assert not model.training
    # The question-answering model of transformers has no pooler; the others have one that their heads leave unused.
    assert loaded.unused == ([] if task == "qa" else ["bert.pooler.bias", "bert.pooler.weight"])
    assert torch.equal(
        model.encoder.layers[1].feed_forward.narrow.weight, theirs.bert.encoder.layer[1].output.dense.weight
    )


def test_shards_give_the_same_model_as_one_file(saved: Path, folder: Path) -> None:
    _shard(folder)
    sharded = read_checkpoint(folder)
    assert [file.name for file in sharded.weights.files] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    theirs, ours = (read_checkpoint(path).load(PATTERN).model.state_dict() for path in (saved, folder))
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)


def test_shards_that_transformers_wrote_are_read(tmp_path: Path) -> None:
    model = make_model("ner", make_config(200))
    save_model(model, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    model.save_pretrained(tmp_path, max_shard_size="60KB")
    checkpoint = read_checkpoint(tmp_path)
    assert len(checkpoint.weights.files) > 1
    loaded = checkpoint.load(PATTERN).model
    assert torch.equal(loaded.embeddings.word.weight, model.bert.embeddings.word_embeddings.weight)


@pytest.mark.parametrize("task", ["qa", "classify", "ner"])
def test_a_task_that_is_given_wins_over_the_architectures(folder: Path, task: str) -> None:
    assert read_checkpoint(folder, CheckpointOptions(task)).task == task


def test_weights_of_another_task_are_refused_with_what_helps(folder: Path) -> None:
    with pytest.raises(CheckpointError) as refused:
        read_checkpoint(folder, CheckpointOptions("qa")).load(PATTERN)
    assert str(refused.value) == (
        f"{folder}: has no head for qa, only for classify; `bigbird finetune` with --task qa makes one, or give "
        "the task that it was trained for with --task"
    )


def test_an_unknown_task_is_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^task: 'summarise' is not one of qa, classify, ner, fill-mask, "):
        read_checkpoint(folder, CheckpointOptions("summarise"))


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "spiece.model"])
def test_a_missing_file_is_named(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(CheckpointError, match=rf"{file}: missing"):
        read_checkpoint(folder)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="absent: is not a folder"):
        read_checkpoint(tmp_path / "absent")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"{", id="cut off"),
        pytest.param(b"\xff\xfe\x00", id="no UTF-8"),
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
    ],
)
@pytest.mark.parametrize("file", ["config.json", "model.safetensors.index.json", "tokenizer_config.json"])
def test_json_that_is_no_object_is_refused_by_the_name_of_its_file(folder: Path, file: str, content: bytes) -> None:
    if file == "model.safetensors.index.json":
        _shard(folder)
    (folder / file).write_bytes(content)
    with pytest.raises(CheckpointError, match=file):
        read_checkpoint(folder)


def test_a_configuration_that_cannot_work_is_refused_by_its_field(folder: Path) -> None:
    _edit_json(folder / "config.json", lambda values: values.update(hidden_size=13))
    with pytest.raises(ConfigError, match=r"config\.json: hidden_size"):
        read_checkpoint(folder)


def test_missing_unexpected_and_misshapen_tensors_are_listed_together(folder: Path) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        del tensors["bert.encoder.layer.1.attention.self.key.bias"]
        del tensors["classifier.dense.weight"]
        tensors["bert.encoder.layer.2.output.dense.bias"] = torch.zeros(12)
        tensors["bert.embeddings.position_embeddings.weight"] = torch.zeros(255, 12)

    _edit_weights(folder, spoil)
    with pytest.raises(CheckpointError) as refused:
        read_checkpoint(folder).load(PATTERN)
    for part in (
        "missing: bert.encoder.layer.1.attention.self.key.bias [12]",
        "missing: classifier.dense.weight [12, 12]",
        "unexpected: bert.encoder.layer.2.output.dense.bias",
        "shape: bert.embeddings.position_embeddings.weight is [255, 12], expected [256, 12]",
    ):
        assert part in str(refused.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "it is empty; download or copy it again", id="empty"),
        pytest.param(b"\x08\0\0", "it is cut off after 3 bytes; download or copy it again", id="a few bytes"),
        pytest.param(b"Try again\nlater", "it is a text, 'Try again', perhaps a server's answer; down", id="a text"),
        pytest.param(b"\x08\0\0\0\0\0\0\0{}      \0\0", "", id="bytes after the end"),
    ],
)
def test_weights_that_are_no_safetensors_are_refused_by_the_name_of_the_file(
    folder: Path, content: bytes, reason: str
) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"model\.safetensors: cannot be read as safetensors: {reason}"):
        read_checkpoint(folder).load(PATTERN)


def test_weights_that_were_cut_off_are_refused_by_the_name_of_the_file(folder: Path) -> None:
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    for kept in (len(whole) - 100, 1000, 9):
        file.write_bytes(whole[:kept])
        with pytest.raises(CheckpointError) as refused:
            read_checkpoint(folder)
        # Where the header is cut, too, how long the tensors are cannot be known.
        header = 8 + int.from_bytes(whole[:8], "little")
        needed = len(whole) if kept >= header else header
        assert str(refused.value) == (
            f"{file}: cannot be read as safetensors: it is cut off, {kept} of {needed} bytes are there; download or "
            "copy it again"
        )


class TestFileOfAnotherName:
    @pytest.mark.parametrize(
        "name",
        ["best_model.pt", "epoch=3-step=90.ckpt", "model.pth", "weights.bin", "checkpoint.pth.tar", "best_rank1.pt"],
    )
    def test_the_only_one_is_taken_and_named(self, folder: Path, name: str) -> None:
        tensors = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        torch.save({"state_dict": {f"model.{key}": tensor for key, tensor in tensors.items()}}, folder / name)
        for state in ("optimizer.pt", "scheduler.pt", "rng_state_0.pth", "training_args.bin"):
            (folder / state).touch()
        loaded = read_checkpoint(folder).load(PATTERN)
        assert loaded.changes[0] == f"the weights are in {name}, the only file there that can be"
        assert torch.equal(loaded.model.head.dense.bias, tensors["classifier.dense.bias"])

    def test_a_folder_of_such_a_name_is_no_file(self, folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / "epoch=1.ckpt").mkdir()
        with pytest.raises(CheckpointError) as refused:
            read_checkpoint(folder)
        assert str(refused.value).endswith("'epoch=1.ckpt' is a folder; give the one that the weights lie in")

    def test_safetensors_are_taken_as_what_they_are(self, folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "best.safetensors")
        assert read_checkpoint(folder).weights.kind == "safetensors"

    def test_of_several_none_is_guessed(self, folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "best.safetensors")
        (folder / "last.ckpt").touch()
        with pytest.raises(CheckpointError) as refused:
            read_checkpoint(folder)
        assert str(refused.value).endswith(
            "'best.safetensors', 'last.ckpt': call the one that is meant pytorch_model.bin, or model.safetensors if it "
            "is of safetensors"
        )


@pytest.mark.parametrize("name", ["../weights.safetensors", "/etc/hostname", "shards/one.safetensors"])
def test_an_index_that_points_outside_the_folder_is_refused(folder: Path, name: str) -> None:
    _shard(folder)
    index = folder / "model.safetensors.index.json"
    _edit_json(index, lambda values: values["weight_map"].update({"classifier.dense.bias": name}))
    shutil.copy(folder / "model-00001-of-00002.safetensors", folder.parent / "weights.safetensors")
    with pytest.raises(CheckpointError, match=rf"index\.json: '{name}' is not a file beside it"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    "weight_map",
    [
        pytest.param(None, id="absent"),
        pytest.param({}, id="empty"),
        pytest.param(["model.safetensors"], id="a list"),
        pytest.param({"a": ["model.safetensors"]}, id="with lists for file names"),
        pytest.param({"a": 1, "b": "x"}, id="with numbers for file names"),
        pytest.param({"a": ".."}, id="naming the folder above"),
    ],
)
def test_a_spoilt_weight_map_is_refused(folder: Path, weight_map: object) -> None:
    _shard(folder)
    _edit_json(folder / "model.safetensors.index.json", lambda values: values.update(weight_map=weight_map))
    with pytest.raises(CheckpointError, match=r"model\.safetensors\.index\.json"):
        read_checkpoint(folder)


def test_all_missing_shards_are_named(folder: Path) -> None:
    _shard(folder)
    for shard in folder.glob("model-*"):
        shard.unlink()
    with pytest.raises(CheckpointError, match=r"model-00001-of-00002\.safetensors, model-00002-of-00002\.safetensors"):
        read_checkpoint(folder)


def test_special_tokens_may_have_other_pieces(folder: Path) -> None:
    values = {"cls_token": "<s>", "sep_token": {"content": "</s>", "lstrip": False}, "mask_token": None}
    (folder / "tokenizer_config.json").write_text(json.dumps(values))
    assert read_checkpoint(folder).tokenizer.special_tokens == {
        "cls": "<s>",
        "sep": "</s>",
        "pad": "<pad>",
        "mask": "[MASK]",
    }


def test_the_hash_changes_with_any_file_and_not_with_the_place(saved: Path, folder: Path) -> None:
    original = read_checkpoint(folder).sha256()
    assert original == read_checkpoint(saved).sha256()
    assert len(original) == 64
    seen = {original}
    _edit_json(folder / "config.json", lambda values: values.update(layer_norm_eps=1e-5))
    seen.add(read_checkpoint(folder).sha256())
    _edit_weights(folder, lambda tensors: tensors["classifier.dense.bias"].zero_())
    seen.add(read_checkpoint(folder).sha256())
    with (folder / "spiece.model").open("ab") as file:
        file.write(b"\xa0\x06\x01")  # a field that no reader knows
    seen.add(read_checkpoint(folder).sha256())
    assert len(seen) == 4


@pytest.mark.parametrize(("task", "labels"), [("qa", 2), ("classify", 3), ("ner", 4)])
def test_a_checkpoint_that_we_save_is_the_same_model_to_transformers(task: str, labels: int, tmp_path: Path) -> None:
    config = BigBirdConfig(
        vocab_size=60,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=40,
        max_position_embeddings=128,
        block_size=16,
        num_random_blocks=1,
        hidden_act="relu",
        labels=tuple(f"label {number}" for number in range(labels)),
    )
    torch.manual_seed(5)
    model = build_model(config, task, PATTERN).eval()
    save_checkpoint(model, task, tmp_path)

    theirs, report = MODEL_CLASSES[task].from_pretrained(tmp_path, output_loading_info=True)
    assert not report["unexpected_keys"]
    assert all(name.startswith("bert.pooler.") for name in report["missing_keys"])
    assert theirs.config.id2label == dict(enumerate(config.labels))
    for length in (30, 120):
        document = make_document(length, vocab_size=60)
        padded = torch.zeros(2, 1, 128 if length == 120 else 112, dtype=torch.int64)
        padded[0, 0, :length] = torch.from_numpy(document.input_ids)
        padded[1, 0, :length] = torch.from_numpy(document.token_type_ids)
        mask = (torch.arange(padded.shape[2]) < length).long()[None]
        with torch.inference_mode():
            ours = model(padded[0], mask, padded[1])[0].numpy()
        expected = Reference(theirs.eval()).alone(document)
        assert abs(ours[: len(expected)] - expected).max() <= 1e-5


@pytest.mark.parametrize(
    ("pattern", "written"),
    [
        pytest.param("transformers", False, id="that of the layout's own source"),
        pytest.param("google", True, id="other"),
    ],
)
def test_the_pattern_of_the_weights_stands_in_the_configuration_we_save(
    folder: Path, pattern: str, written: bool
) -> None:
    model = read_checkpoint(folder).load(PATTERN).model
    save_checkpoint(model, "classify", folder, pattern=pattern)
    values = json.loads((folder / "config.json").read_text())
    assert values.get("random_block_pattern") == (pattern if written else None)
    assert read_checkpoint(folder).default_pattern == pattern


@pytest.mark.parametrize("value", ["bigger", None, ["google"]])
def test_a_pattern_that_there_is_not_is_refused(folder: Path, value: object) -> None:
    _edit_json(folder / "config.json", lambda values: values.update(random_block_pattern=value))
    with pytest.raises(ConfigError, match=r"config\.json: random_block_pattern: .* is not one of transformers, "):
        read_checkpoint(folder)


def test_a_note_goes_with_the_checkpoint(folder: Path) -> None:
    assert read_checkpoint(folder).note is None
    model = read_checkpoint(folder).load(PATTERN).model
    save_checkpoint(model, "classify", folder, note="For reports in Dutch.")
    assert read_checkpoint(folder).note == "For reports in Dutch."


@pytest.mark.parametrize("value", ["two\nlines", "", 7, "a" * 501])
def test_a_note_that_is_not_one_line_is_refused(folder: Path, value: object) -> None:
    _edit_json(folder / "config.json", lambda values: values.update(bigbird_serve_note=value))
    with pytest.raises(ConfigError, match=r"config\.json: bigbird_serve_note: must be one line of at most 500"):
        read_checkpoint(folder)
