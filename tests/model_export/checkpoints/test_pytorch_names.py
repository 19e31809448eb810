import pytest
import torch

from model_export.checkpoints.pytorch import huggingface_names, with_encoder_prefix
from model_export.config import BigBirdConfig
from model_export.nn.heads import HEADS
from model_export.nn.model import build_model
from model_export.patterns.registry import get_pattern
from tests.model_export.reference_models import make_config, make_model

# What a transformers model holds and the task's head does not read.
UNREAD = {
    "classify": {"bert.pooler.weight", "bert.pooler.bias"},
    "ner": {"bert.pooler.weight", "bert.pooler.bias"},
    "fill-mask": {
        "bert.pooler.weight",
        "bert.pooler.bias",
        "cls.predictions.decoder.weight",
        "cls.predictions.decoder.bias",
    },
}
UNREAD["generate"] = UNREAD["fill-mask"]
UNREAD["next-sentence"] = {
    *(f"cls.predictions.{part}" for part in ("bias", "decoder.weight", "decoder.bias")),
    *(f"cls.predictions.transform.{part}.{kind}" for part in ("dense", "LayerNorm") for kind in ("weight", "bias")),
}


@pytest.mark.parametrize("use_bias", [True, False], ids=["with query, key and value biases", "without them"])
@pytest.mark.parametrize("task", HEADS)
def test_the_names_are_those_of_the_transformers_model_and_of_ours(task: str, use_bias: bool) -> None:
    theirs = make_model(task, make_config(60, use_bias=use_bias, num_labels=2, is_decoder=task == "generate"))
    config = BigBirdConfig.from_dict(theirs.config.to_dict())
    names = huggingface_names(task, config)
    sources = {source.name for source in names.values()}
    assert sources == set(with_encoder_prefix(theirs.state_dict())) - UNREAD.get(task, set())
    assert len(sources) == len(names)
    assert set(names) == set(build_model(config, task, get_pattern("none")).state_dict())


def test_a_decoder_that_is_not_tied_has_a_matrix_and_a_bias_of_its_own() -> None:
    theirs = make_model("fill-mask", make_config(60, tie_word_embeddings=False))
    names = huggingface_names("fill-mask", BigBirdConfig.from_dict(theirs.config.to_dict()))
    assert names["head.decoder_weight"].name == "cls.predictions.decoder.weight"
    assert names["head.decoder_bias"].name == "cls.predictions.decoder.bias"


def test_an_encoder_saved_by_itself_gets_the_prefix_that_it_lacks() -> None:
    tensor = torch.ones(1)
    assert with_encoder_prefix({"pooler.bias": tensor}) == {"bert.pooler.bias": tensor}
    assert with_encoder_prefix({"bert.pooler.bias": tensor, "cls.x": tensor}) == {
        "bert.pooler.bias": tensor,
        "cls.x": tensor,
    }
