"""What people's `config.json` and `generation_config.json` say, and what transformers makes of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from model_export.checkpoints.checkpoint import CheckpointOptions
from model_export.checkpoints.huggingface import save_checkpoint
from model_export.checkpoints.recognise import read_checkpoint
from model_export.errors import CheckpointError, ConfigError
from model_export.patterns.registry import get_pattern
from tests.model_export.exported_models import save_model
from tests.model_export.our_models import logits_alone
from tests.model_export.reference_models import Reference, make_config, make_document, make_model

ROOT = Path(__file__).resolve().parents[3]
PATTERN = get_pattern("transformers")
SIZES = {"hidden_size": 12, "intermediate_size": 16}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint for each task, saved by transformers; the heads of `ner` and `multiple-choice` have one output."""
    folders = {}
    for task in ("qa", "classify", "ner", "fill-mask", "next-sentence", "multiple-choice", "embed", "generate"):
        # transformers writes no names for two labels.
        fields = {"generate": {"is_decoder": True}, "ner": {"num_labels": 1}}.get(task, {"num_labels": 3})
        folders[task] = save_model(make_model(task, make_config(100, **SIZES, **fields)), tmp_path_factory.mktemp(task))
    return folders


def edited(saved: Path, folder: Path, **fields: Any) -> Path:
    """Copy a checkpoint; fields that are None are left out of its configuration."""
    shutil.copytree(saved, folder)
    values = json.loads((folder / "config.json").read_text()) | fields
    (folder / "config.json").write_text(
        json.dumps({name: value for name, value in values.items() if value is not None or name not in fields})
    )
    return folder


@pytest.mark.parametrize("task", ["qa", "classify", "fill-mask", "generate"])
@pytest.mark.parametrize("architectures", [None, [], ["PreTrainedModel"]], ids=["missing", "empty", "a base class"])
def test_a_head_that_no_other_class_has_tells_the_task(
    saved: dict[str, Path], tmp_path: Path, task: str, architectures: list[str] | None
) -> None:
    checkpoint = read_checkpoint(edited(saved[task], tmp_path / "checkpoint", architectures=architectures))
    assert checkpoint.task == task
    assert checkpoint.assumptions == (
        f"task: {task} (its head is the only one among the weights, and architectures names no task)",
    )


@pytest.mark.parametrize(
    ("task", "architectures", "said"),
    [
        pytest.param(
            "qa", ["BigBirdForLongAnswers"], r"a head for qa; give one with --task qa$", id="a class of one's own"
        ),
        pytest.param("classify", [["BigBirdModel"]], r"for classify; .* --task classify$", id="no name"),
        # A linear map called `classifier` could be anybody's.
        pytest.param("ner", None, r"for ner, multiple-choice; .* --task ner\|multiple-choice$", id="no certain head"),
        pytest.param("next-sentence", None, r"--task fill-mask\|next-sentence$", id="two heads"),
        pytest.param("ner", ["BigBirdModel"], r"--task ner\|multiple-choice\|embed$", id="the encoder's class"),
        pytest.param("embed", None, r"the weights have no head that is known; .* --task embed$", id="no head"),
    ],
)
def test_a_task_that_is_not_certain_is_asked_for_among_those_that_there_are_weights_for(
    saved: dict[str, Path], tmp_path: Path, task: str, architectures: list[str] | None, said: str
) -> None:
    folder = edited(saved[task], tmp_path / "checkpoint", architectures=architectures)
    with pytest.raises(CheckpointError, match=rf"config\.json: architectures .* name no task, and .*{said}"):
        read_checkpoint(folder)


def test_a_class_may_stand_alone_in_place_of_a_list(saved: dict[str, Path], tmp_path: Path) -> None:
    folder = edited(saved["ner"], tmp_path / "checkpoint", architectures="BigBirdForTokenClassification")
    assert (read_checkpoint(folder).task, read_checkpoint(folder).assumptions) == ("ner", ())


@pytest.mark.parametrize(
    ("fields", "written", "said"),
    [
        pytest.param(
            {"pad_token_id": -1}, None, "pad_token_id: -1 is not a token; padding is left out", id="no padding"
        ),
        pytest.param(
            {"pad_token_id": 100}, None, "pad_token_id: 100 is not a token", id="padding beyond the vocabulary"
        ),
        pytest.param({"hidden_dropout_prob": float("nan")}, "NaN", "hidden_dropout_prob: nan counts in", id="NaN"),
        pytest.param(
            {"initializer_range": float("inf")}, "Infinity", "initializer_range: inf counts in", id="Infinity"
        ),
        pytest.param({"task_specific": float("nan")}, "NaN", None, id="NaN in a field that is not read"),
    ],
)
def test_what_changes_no_answer_is_put_right_and_said(
    saved: dict[str, Path], tmp_path: Path, fields: dict[str, Any], written: str | None, said: str | None
) -> None:
    folder = edited(saved["classify"], tmp_path / "checkpoint", **fields)
    assert written is None or written in (folder / "config.json").read_text()
    loaded = read_checkpoint(folder).load(PATTERN)
    assert len(loaded.changes) == (said is not None)
    assert all(line.startswith(str(said)) for line in loaded.changes)
    config = loaded.model.config
    assert 0 <= config.pad_token_id < 100
    assert (config.hidden_dropout_prob, config.initializer_range) == (0.1, 0.02)


def test_what_changes_answers_is_refused_as_ever(saved: dict[str, Path], tmp_path: Path) -> None:
    folder = edited(saved["classify"], tmp_path / "checkpoint", layer_norm_eps=float("nan"))
    with pytest.raises(ConfigError, match=r"config\.json: layer_norm_eps: nan has the wrong type"):
        read_checkpoint(folder)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_a_byte_order_mark_is_passed_over(saved: dict[str, Path], tmp_path: Path, file: str) -> None:
    folder = edited(saved["classify"], tmp_path / "checkpoint")
    if file == "tokenizer_config.json":
        (folder / file).write_text('{"cls_token": "[CLS]"}')
    (folder / file).write_bytes(b"\xef\xbb\xbf" + (folder / file).read_bytes())
    checkpoint = read_checkpoint(folder)
    assert (checkpoint.task, checkpoint.changes, checkpoint.assumptions) == ("classify", (), ())


@pytest.mark.parametrize("model_type", [None, "null"])
def test_a_missing_model_type_is_assumed(saved: dict[str, Path], tmp_path: Path, model_type: str | None) -> None:
    folder = edited(saved["classify"], tmp_path / "checkpoint", model_type=model_type)
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"null"', "null"))
    assert read_checkpoint(folder).assumptions == ("model_type: big_bird (the configuration names none)",)


@pytest.mark.parametrize(
    ("in_config", "in_generation_config"),
    [
        pytest.param(7, None, id="no generation_config.json"),
        pytest.param([7, 9], None, id="several"),
        pytest.param(7, {"eos_token_id": 9}, id="another one"),
        pytest.param(7, {"eos_token_id": [9, 8]}, id="several others"),
        pytest.param(7, {}, id="generation_config.json without ends"),
        pytest.param(7, {"eos_token_id": None}, id="generation_config.json that names none"),
    ],
)
def test_the_ends_of_texts_are_those_of_transformers(
    saved: dict[str, Path], tmp_path: Path, in_config: object, in_generation_config: dict[str, Any] | None
) -> None:
    folder = edited(saved["generate"], tmp_path / "checkpoint", eos_token_id=in_config)
    (folder / "generation_config.json").unlink()
    if in_generation_config is not None:
        (folder / "generation_config.json").write_text(json.dumps(in_generation_config))
    theirs = transformers.BigBirdForCausalLM.from_pretrained(folder).generation_config.eos_token_id
    checkpoint = read_checkpoint(folder)
    ends = checkpoint.config.end_ids
    assert list(ends) == ([] if theirs is None else theirs if isinstance(theirs, list) else [theirs])
    said = [line for line in checkpoint.changes if line.startswith("eos_token_id: ")]
    assert bool(said) == (in_generation_config is not None)


def test_ends_that_are_no_tokens_end_nothing(saved: dict[str, Path], tmp_path: Path) -> None:
    folder = edited(saved["generate"], tmp_path / "checkpoint")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [5, 100, -1]}))
    checkpoint = read_checkpoint(folder)
    assert checkpoint.config.end_ids == (5,)
    assert checkpoint.changes[-1] == "eos_token_id: left out, as no token has such a number: 100, -1"


@pytest.mark.parametrize("task", ["classify", "qa"])
def test_ends_of_texts_are_nothing_to_other_tasks(saved: dict[str, Path], tmp_path: Path, task: str) -> None:
    folder = edited(saved[task], tmp_path / "checkpoint", eos_token_id=[1, 2, 1000])
    (folder / "generation_config.json").write_text("[]")
    assert read_checkpoint(folder).load(PATTERN).changes == ()


@pytest.mark.parametrize(
    ("task", "pair_types"),
    [
        ("classify", "zeros"),
        ("multiple-choice", "zeros"),
        ("qa", "segments"),
        ("ner", "segments"),
        ("next-sentence", "segments"),
    ],
)
def test_pairs_have_the_token_types_of_their_training(saved: dict[str, Path], task: str, pair_types: str) -> None:
    assert read_checkpoint(saved[task], CheckpointOptions(task)).pair_types == pair_types


def test_a_checkpoint_that_we_write_says_its_token_types(saved: dict[str, Path], tmp_path: Path) -> None:
    folder = edited(saved["classify"], tmp_path / "checkpoint")
    model = read_checkpoint(folder).load(PATTERN).model
    save_checkpoint(model, "classify", folder, pair_types="segments")
    assert read_checkpoint(folder).pair_types == "segments"
    # transformers keeps the field when it saves the model again.
    again = transformers.BigBirdForSequenceClassification.from_pretrained(folder)
    again.save_pretrained(folder)
    assert read_checkpoint(folder).pair_types == "segments"
    with pytest.raises(ConfigError, match=r"config\.json: pair_types: 'ones' is not one of segments, zeros"):
        read_checkpoint(edited(folder, tmp_path / "spoilt", pair_types="ones"))


def test_a_checkpoint_that_we_wrote_before_there_was_the_field_has_segments() -> None:
    config = ROOT / "examples" / "checkpoints" / "demo-classify"
    assert "pair_types" not in json.loads((config / "config.json").read_text())
    assert read_checkpoint(config).pair_types == "segments"


def test_pairs_of_a_classifier_are_zeros_to_transformers_itself() -> None:
    """Its tokenizer returns no token types, and its model then takes zeros: what the weights were trained with."""
    config = make_config(100, num_labels=3)
    reference = Reference(make_model("classify", config))
    document = make_document(40, vocab_size=100, type_vocab_size=1)
    assert "token_type_ids" not in transformers.BigBirdTokenizer.model_input_names
    with_zeros = reference.alone(document)
    with torch.inference_mode():
        without = reference.model(input_ids=torch.from_numpy(document.input_ids)[None]).logits[0].numpy()
    document.token_type_ids[20:] = 1
    assert abs(without - with_zeros).max() <= 1e-6
    assert abs(without - reference.alone(document)).max() >= 0.1


@pytest.mark.parametrize("activation", ["gelu_10", "laplace", "sqrtsoftplus"])
def test_activations_that_transformers_has_give_its_logits(tmp_path: Path, activation: str) -> None:
    model = make_model("classify", make_config(100, hidden_act=activation, num_labels=5), head_gain=6.0)
    ours = read_checkpoint(save_model(model, tmp_path)).load(PATTERN).model
    document = make_document(50, vocab_size=100)
    expected = Reference(model).alone(document)
    found = logits_alone(ours, document)
    assert expected.std() >= 0.5
    assert abs(found - expected).max() <= 1e-4


@pytest.mark.parametrize("activation", ["prelu", "xielu"])
def test_activations_with_weights_are_refused_by_name(saved: dict[str, Path], tmp_path: Path, activation: str) -> None:
    folder = edited(saved["classify"], tmp_path / "checkpoint", hidden_act=activation)
    with pytest.raises(ConfigError, match=f"hidden_act: {activation} has weights of its own"):
        read_checkpoint(folder).load(PATTERN)


@pytest.mark.parametrize("attention_type", ["block_sparse", "original_full"])
def test_a_decoder_that_transformers_would_run_without_a_causal_mask_is_noted(
    saved: dict[str, Path], tmp_path: Path, attention_type: str
) -> None:
    folder = edited(saved["generate"], tmp_path / "checkpoint", attention_type=attention_type)
    theirs = transformers.BigBirdForCausalLM.from_pretrained(folder, attention_type=attention_type).eval()
    # Long enough for blocks to be left out: (5 + 2 random ones) of 16, and more.
    ids = torch.full((2, 176), 5)
    ids[1, -1] = 6
    with torch.no_grad():
        first, other = theirs(ids, attention_mask=torch.ones_like(ids)).logits[:, 0]
    said = [line for line in read_checkpoint(folder).changes if line.startswith("attention_type: ")]
    assert bool(said) == (not torch.allclose(first, other))
