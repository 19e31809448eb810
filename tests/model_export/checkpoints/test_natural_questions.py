"""Heads for Natural Questions, as PyTorch and as Flax checkpoints, against transformers with a linear map beside it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from bigbird_inference.runtime.session import Batch, Outputs
from model_export.checkpoints.checkpoint import CheckpointOptions
from model_export.checkpoints.flax import flax_names
from model_export.checkpoints.pytorch import huggingface_names
from model_export.checkpoints.recognise import read_checkpoint
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError
from model_export.export.references import TorchSession
from model_export.export.signature import signature
from model_export.nn.model import build_model
from model_export.patterns.registry import get_pattern
from tests.model_export.checkpoints.flax_packing import packed_model
from tests.model_export.exported_models import save_model, vocabulary_size
from tests.model_export.reference_models import BigBirdForNaturalQuestions, make_config, make_document, make_model

PATTERN = get_pattern("transformers")
TOLERANCE = 1e-4
SMALLEST_SPREAD = 0.5


def save(folder: Path, **fields: Any) -> BigBirdForNaturalQuestions:
    """Save a model as transformers saves it, which names its class in the configuration."""
    model = make_model(
        "natural-questions", make_config(vocabulary_size(folder / "vocabulary"), **fields), head_gain=3.0
    )
    save_model(model, folder)
    return model  # type: ignore[return-value]


def set_architectures(folder: Path, names: list[str]) -> None:
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "architectures": names}))


def as_pytorch_file(folder: Path, model: BigBirdForNaturalQuestions) -> None:
    torch.save(model.state_dict(), folder / "pytorch_model.bin")


def as_wrapped_pytorch_file(folder: Path, model: BigBirdForNaturalQuestions) -> None:
    wrapped = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save(wrapped, folder / "pytorch_model.bin")


def as_flax(folder: Path, model: BigBirdForNaturalQuestions) -> None:
    (folder / "flax_model.msgpack").write_bytes(packed_model(model.state_dict()))


def rewrite(folder: Path, model: BigBirdForNaturalQuestions, write: Callable[..., None] | None) -> None:
    if write is not None:
        (folder / "model.safetensors").unlink()
        write(folder, model)


def expected(model: BigBirdForNaturalQuestions, length: int) -> dict[str, npt.NDArray[np.float32]]:
    """What transformers answers for the random document of a length, alone."""
    document = make_document(length, vocab_size=model.config.vocab_size)
    model.bert.set_attention_type("block_sparse")  # short documents change it for good
    with torch.inference_mode():
        output = model(
            torch.from_numpy(document.input_ids)[None],
            token_type_ids=torch.from_numpy(document.token_type_ids)[None],
            attention_mask=torch.ones(1, length, dtype=torch.int64),
            question_lengths=torch.zeros(1, 1, dtype=torch.int64),  # nothing is subtracted from any logit
        )
        spans = torch.stack([output.start_logits[0], output.end_logits[0]], dim=-1)
        return {"logits": spans.numpy(), "answer_type": model.answer_types(output)[0]}


def answered(folder: Path, model: BigBirdForNaturalQuestions, length: int) -> Outputs:
    """What our model of the checkpoint answers, padded to whole blocks."""
    checkpoint = read_checkpoint(folder)
    assert checkpoint.task == "qa"
    loaded = checkpoint.load(PATTERN)
    assert loaded.unused == []
    document = make_document(length, vocab_size=model.config.vocab_size)
    block = model.config.block_size
    padded = -(-length // block) * block
    ids, mask, types = (np.zeros((1, padded), dtype=np.int64) for _ in range(3))
    ids[0, :length], types[0, :length], mask[0, :length] = document.input_ids, document.token_type_ids, 1
    session = TorchSession(loaded.model, signature("qa", loaded.model.config))
    outputs = session.run(Batch(ids, mask, types, None))
    return {"logits": outputs["logits"][0, :length], "answer_type": outputs["answer_type"][0]}


@pytest.mark.parametrize(
    ("architectures", "write", "fields", "lengths"),
    [
        pytest.param(["BigBirdForNaturalQuestions"], None, {}, (17, 100, 200), id="safetensors"),
        pytest.param(["BigBirdForQuestionAnswering"], None, {}, (100,), id="safetensors, called question answering"),
        pytest.param(["BigBirdForNaturalQuestions"], as_pytorch_file, {}, (100,), id="pytorch_model.bin"),
        pytest.param(["BigBirdForNaturalQuestions"], as_wrapped_pytorch_file, {}, (100,), id="names of a wrapper"),
        pytest.param(["FlaxBigBirdForNaturalQuestions"], as_flax, {}, (100, 200), id="Flax"),
        pytest.param(
            ["BigBirdForNaturalQuestions"],
            as_flax,
            {"block_size": 128, "num_random_blocks": 3, "max_position_embeddings": 2048},
            (1000, 1450, 2048),
            id="Flax, blocks of 128 tokens",
        ),
    ],
)
def test_spans_and_categories_are_those_of_transformers(
    tmp_path: Path,
    architectures: list[str],
    write: Callable[..., None] | None,
    fields: dict[str, Any],
    lengths: tuple[int, ...],
) -> None:
    model = save(tmp_path, **fields)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["BigBirdForNaturalQuestions"]
    set_architectures(tmp_path, architectures)
    rewrite(tmp_path, model, write)
    for length in lengths:
        theirs, ours = expected(model, length), answered(tmp_path, model, length)
        for name in ("logits", "answer_type"):
            assert theirs[name].shape == ours[name].shape == ((length, 2) if name == "logits" else (5,))
            assert theirs[name].std() >= SMALLEST_SPREAD
            assert np.abs(theirs[name] - ours[name]).max() <= TOLERANCE


@pytest.mark.parametrize("write", [None, as_flax], ids=["PyTorch", "Flax"])
def test_the_encoder_is_served_without_the_head(tmp_path: Path, write: Callable[..., None] | None) -> None:
    model = save(tmp_path)
    rewrite(tmp_path, model, write)
    loaded = read_checkpoint(tmp_path, CheckpointOptions("embed")).load(PATTERN)
    assert [tensor.name for tensor in signature("embed", loaded.model.config).outputs] == ["hidden", "pooled"]
    assert {name.replace("/", ".").split(".")[0] for name in loaded.unused} == {"qa_classifier", "cls"}


def test_the_categories_can_be_left_out(tmp_path: Path) -> None:
    save(tmp_path)
    loaded = read_checkpoint(tmp_path, CheckpointOptions(ignore_weights=("cls.*",))).load(PATTERN)
    assert [tensor.name for tensor in signature("qa", loaded.model.config).outputs] == ["logits"]


def test_a_pooler_alone_is_no_head_for_categories(tmp_path: Path) -> None:
    model = save(tmp_path)
    rewrite(tmp_path, model, lambda folder, own: torch.save(_without(own, "cls."), folder / "pytorch_model.bin"))
    loaded = read_checkpoint(tmp_path).load(PATTERN)
    assert [tensor.name for tensor in signature("qa", loaded.model.config).outputs] == ["logits"]
    assert loaded.unused == ["bert.pooler.bias", "bert.pooler.weight"]
    line = "cls.weight is not there: the configuration names a class with answer types, and the answers have none"
    assert line in loaded.changes
    set_architectures(tmp_path, ["BigBirdForQuestionAnswering"])
    assert line not in read_checkpoint(tmp_path).changes


@pytest.mark.parametrize(
    ("part", "shape"), [("bert.pooler.weight", r"\[48, 48\]"), ("cls.bias", r"\[5\]")], ids=["pooler", "bias"]
)
def test_categories_without_a_part_are_refused_with_the_way_out(part: str, shape: str, tmp_path: Path) -> None:
    model = save(tmp_path)
    rewrite(tmp_path, model, lambda folder, own: torch.save(_without(own, part), folder / "pytorch_model.bin"))
    with pytest.raises(CheckpointError, match=rf"missing: {part} {shape}\n  to go without .* 'cls\.\*'"):
        read_checkpoint(tmp_path).load(PATTERN)
    options = CheckpointOptions(ignore_weights=("cls.*",))
    assert not read_checkpoint(tmp_path, options).load(PATTERN).model.config.has_answer_types


def test_another_number_of_categories_is_refused(tmp_path: Path) -> None:
    model = save(tmp_path)
    model.cls = torch.nn.Linear(model.config.hidden_size, 3)
    rewrite(tmp_path, model, as_pytorch_file)
    with pytest.raises(
        CheckpointError, match=r"shape: cls\.weight is \[3, 48\], expected \[5, 48\]\n.*\n  to go without .* 'cls\.\*'"
    ):
        read_checkpoint(tmp_path).load(PATTERN)


def _without(model: BigBirdForNaturalQuestions, prefix: str) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(prefix)}


def test_the_tables_cover_the_head_and_ordinary_question_answering_has_none_of_it() -> None:
    config = BigBirdConfig(num_hidden_layers=2, has_answer_types=True)
    own = build_model(config, "qa", get_pattern("none")).state_dict().keys()
    assert huggingface_names("qa", config).keys() == flax_names("qa", config).keys() == own
    ordinary = build_model(BigBirdConfig(num_hidden_layers=2), "qa", get_pattern("none")).state_dict().keys()
    assert own - ordinary == {
        f"head.answer_type.{module}.{part}" for module in ("pooler", "output") for part in ("weight", "bias")
    }
    assert "has_answer_types" not in BigBirdConfig().to_dict()
