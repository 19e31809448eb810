"""BERT encoders that become BigBirds, compared with transformers' own BERT."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from model_export.checkpoints.bert import USUAL_POSITIONS
from model_export.checkpoints.checkpoint import CheckpointOptions
from model_export.checkpoints.huggingface import save_checkpoint
from model_export.checkpoints.recognise import read_checkpoint
from model_export.errors import CheckpointError, ConfigError
from model_export.patterns.registry import get_pattern
from tests.model_export.bert_models import CLASSES, OWN_POSITIONS, VOCABULARY, make_bert, save_bert
from tests.model_export.exported_models import save_model
from tests.model_export.reference_models import make_config, make_document, make_model

PATTERN = get_pattern("none")


@pytest.fixture(scope="module")
def bert() -> transformers.PreTrainedModel:
    return make_bert()


@pytest.fixture(scope="module")
def saved(bert: transformers.PreTrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(bert, tmp_path_factory.mktemp("bert"))


def asked(model: Any, length: int, **more: torch.Tensor) -> Any:
    """Return what a model answers to a document alone; ours takes the arguments that transformers' has."""
    document = make_document(length, vocab_size=VOCABULARY)
    ids, types = (torch.from_numpy(array)[None] for array in (document.input_ids, document.token_type_ids))
    with torch.inference_mode():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids), token_type_ids=types, **more)


@pytest.mark.parametrize("length", [1, 63, OWN_POSITIONS])
def test_up_to_its_own_positions_the_model_is_the_bert(
    bert: transformers.PreTrainedModel, saved: Path, length: int
) -> None:
    hidden, pooled = asked(read_checkpoint(saved).load(PATTERN).model, length)
    expected = asked(bert, length)
    assert expected.last_hidden_state.std() > 0.5
    torch.testing.assert_close(hidden, expected.last_hidden_state, atol=1e-4, rtol=0)
    torch.testing.assert_close(pooled, expected.pooler_output, atol=1e-4, rtol=0)


@pytest.mark.parametrize("length", [OWN_POSITIONS + 1, 300, 704])
def test_beyond_them_positions_are_repeated(bert: transformers.PreTrainedModel, saved: Path, length: int) -> None:
    model = read_checkpoint(saved, CheckpointOptions(positions=1024)).load(PATTERN).model
    expected = asked(bert, length, position_ids=torch.arange(length)[None] % OWN_POSITIONS)
    torch.testing.assert_close(asked(model, length)[0], expected.last_hidden_state, atol=1e-4, rtol=0)


@pytest.mark.parametrize("task", sorted(CLASSES.keys() - {"embed"}))
def test_every_head_is_that_of_transformers(tmp_path: Path, task: str) -> None:
    reference = make_bert(task)
    checkpoint = read_checkpoint(save_bert(reference, tmp_path))
    assert (checkpoint.task, checkpoint.pair_types) == (task, "segments")
    more = {"positions": torch.arange(50)[None]} if task == "fill-mask" else {}
    found = asked(checkpoint.load(PATTERN).model, 50, **more)
    if task == "multiple-choice":
        document = make_document(50, vocab_size=VOCABULARY)
        ids, types = (torch.from_numpy(array)[None, None] for array in (document.input_ids, document.token_type_ids))
        with torch.inference_mode():
            expected = reference(input_ids=ids, token_type_ids=types).logits
    else:
        output = asked(reference, 50)
        expected = torch.stack([output.start_logits, output.end_logits], dim=-1) if task == "qa" else output.logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("positions", "kept", "said"),
    [
        pytest.param(None, USUAL_POSITIONS, "its 96 positions repeated 42 times and the first 64 of them once more"),
        pytest.param(192, 192, "its 96 positions repeated 2 times"),
        pytest.param(64, 64, "the first 64 of its 96 positions"),
    ],
)
def test_it_is_told_what_was_made_of_the_positions(saved: Path, positions: int | None, kept: int, said: str) -> None:
    checkpoint = read_checkpoint(saved, CheckpointOptions(positions=positions))
    assert (checkpoint.positions, checkpoint.config.max_position_embeddings) == (kept, kept)
    assert (checkpoint.default_pattern, checkpoint.config.block_size) == ("none", 64)
    assert checkpoint.weights.kind == "bert, safetensors"
    loaded = checkpoint.load(PATTERN)
    assert f"a BigBird is made of a BERT encoder: {said}, blocks of 64" in loaded.changes
    assert loaded.model.embeddings.position.weight.shape == (kept, 64)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        pytest.param({"is_decoder": True}, ConfigError, "is_decoder: is True; of BERT, only encoders", id="a decoder"),
        pytest.param({"add_cross_attention": True}, ConfigError, "add_cross_attention: is True", id="cross-attention"),
        pytest.param(
            {"position_embedding_type": "relative_key"}, ConfigError, "only absolute positions", id="relative positions"
        ),
        pytest.param({"position_embedding_type": "alibi"}, ConfigError, "is 'alibi'", id="no positions at all"),
        pytest.param({"model_type": "roberta"}, ConfigError, "only big_bird and bert", id="RoBERTa"),
        pytest.param({"model_type": "distilbert"}, ConfigError, "only big_bird and bert", id="DistilBERT"),
        pytest.param({"max_position_embeddings": "512"}, ConfigError, "has the wrong type", id="a number in quotes"),
        pytest.param({"max_position_embeddings": 128}, CheckpointError, "has 96 positions, but", id="other positions"),
        pytest.param({"architectures": ["BertForSpeed"]}, CheckpointError, "name no task", id="somebody's own class"),
        pytest.param({"num_hidden_layers": 3}, CheckpointError, "encoder.layer.2", id="a layer that is not there"),
    ],
)
def test_what_is_no_such_encoder_is_refused(
    bert: transformers.PreTrainedModel, tmp_path: Path, fields: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        read_checkpoint(save_bert(bert, tmp_path, **fields)).load(PATTERN)


def test_weights_of_flax_are_refused(bert: transformers.PreTrainedModel, tmp_path: Path) -> None:
    save_bert(bert, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "flax_model.msgpack").write_bytes(b"\x80")
    with pytest.raises(CheckpointError, match="of BERT, only PyTorch weights are read"):
        read_checkpoint(tmp_path)


def test_a_big_bird_keeps_its_positions(tmp_path: Path) -> None:
    folder = save_model(make_model("embed", make_config(100)), tmp_path)
    with pytest.raises(CheckpointError, match=r"is a BigBird, .* leave --positions out"):
        read_checkpoint(folder, CheckpointOptions("embed", positions=512))


@pytest.mark.parametrize("task", ["qa", "classify"])
def test_what_is_trained_further_is_a_big_bird(tmp_path: Path, task: str) -> None:
    (tmp_path / "saved").mkdir()
    checkpoint = read_checkpoint(save_bert(make_bert(task), tmp_path / "bert"), CheckpointOptions(positions=1024))
    model = checkpoint.load(PATTERN).model
    save_checkpoint(model, task, tmp_path / "saved", pattern="none", pair_types="segments")
    checkpoint.tokenizer.save(tmp_path / "saved")
    again = read_checkpoint(tmp_path / "saved")
    assert (again.task, again.default_pattern, again.positions) == (task, "none", None)
    torch.testing.assert_close(asked(again.load(PATTERN).model, 832), asked(model, 832))
