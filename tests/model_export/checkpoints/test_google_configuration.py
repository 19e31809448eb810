"""What comes from a file, from shapes or is assumed for google-research's variables; no checkpoint is read here."""

from pathlib import Path
from typing import Any

import pytest
import torch

from model_export.checkpoints.google import DIALECT, GoogleWeights, configure, find_variables
from model_export.checkpoints.google_names import GoogleNames
from model_export.checkpoints.source_tensors import load_strictly
from model_export.checkpoints.tensorflow_files import TensorFlowFiles
from model_export.errors import CheckpointError, ConfigError
from model_export.nn.model import build_model
from model_export.patterns.registry import get_pattern

Shapes = dict[str, tuple[int, ...]]
HIDDEN, HEADS, LAYERS = 128, 2, 2


def variables(scope: str = "bert/", *, factored: bool = False, bias: bool = True, types: int = 16) -> Shapes:
    """Shapes of an encoder with a pooler, and with all heads."""
    into = (HIDDEN, HEADS, HIDDEN // HEADS) if factored else (HIDDEN, HIDDEN)
    out = (HEADS, HIDDEN // HEADS, HIDDEN) if factored else (HIDDEN, HIDDEN)
    shapes: Shapes = {
        "embeddings/word_embeddings": (50, HIDDEN),
        "embeddings/position_embeddings": (256, HIDDEN),
        "embeddings/token_type_embeddings": (types, HIDDEN),
        "pooler/dense/kernel": (HIDDEN, HIDDEN),
        "pooler/dense/bias": (HIDDEN,),
        "classifier/kernel": (HIDDEN, 4),
        "classifier/bias": (4,),
    }
    norms = ["encoder/LayerNorm"]
    for layer in (f"encoder/layer_{number}" for number in range(LAYERS)):
        norms += [f"{layer}/attention/output/LayerNorm", f"{layer}/output/LayerNorm"]
        shapes |= {f"{layer}/attention/self/{part}/kernel": into for part in ("query", "key", "value")}
        shapes |= {f"{layer}/attention/self/{part}/bias": into[1:] for part in ("query", "key", "value") if bias}
        shapes |= {f"{layer}/attention/output/dense/kernel": out}
        shapes |= {f"{layer}/attention/output/dense/bias": (HIDDEN,)} if bias else {}
        shapes |= {f"{layer}/intermediate/dense/kernel": (HIDDEN, 96), f"{layer}/intermediate/dense/bias": (96,)}
        shapes |= {f"{layer}/output/dense/kernel": (96, HIDDEN), f"{layer}/output/dense/bias": (HIDDEN,)}
    shapes |= {f"{norm}/{part}": (HIDDEN,) for norm in norms for part in ("gamma", "beta")}
    shapes = {f"{scope}{name}": shape for name, shape in shapes.items()}
    transform = "cls/predictions/transform"
    shapes |= {f"{transform}/{part}": (HIDDEN,) for part in ("bias", "gamma", "beta")}
    shapes |= {f"{transform}/kernel": (HIDDEN, HIDDEN), "cls/predictions/output_bias": (50,)}
    return shapes | {"cls/seq_relationship/output_weights": (2, HIDDEN), "cls/seq_relationship/output_bias": (2,)}


def found(**fields: Any) -> GoogleNames:
    return find_variables(Path("folder/model.ckpt"), variables(**fields))


def tensors(shapes: Shapes) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def test_a_fault_of_the_file_that_changes_no_answer_is_put_right() -> None:
    config, assumptions = configure({"pad_token_id": -1, "hidden_dropout_prob": float("nan")}, found())
    assert (config.pad_token_id, config.hidden_dropout_prob) == (0, 0.1)
    assert [line.partition(":")[0] for line in assumptions[-2:]] == ["hidden_dropout_prob", "pad_token_id"]


def test_without_a_file_shapes_tell_and_the_rest_is_assumed_aloud() -> None:
    config, assumptions = configure({}, found())
    assert (config.vocab_size, config.hidden_size, config.num_hidden_layers, config.intermediate_size) == (
        50,
        128,
        2,
        96,
    )
    assert (config.max_position_embeddings, config.type_vocab_size, config.use_bias) == (256, 16, True)
    assert config.labels == ("", "", "", "")  # four, without names
    assert assumptions == (
        "num_attention_heads: 2 (hidden_size / 64)",
        "block_size: 64 (as in the released models)",
        "num_random_blocks: 3 (as in the released models)",
        "hidden_act: gelu_new (GELU in the tanh form, as in the released models)",
        "rescale_embeddings: False (as in the released models)",
        "attention_type: block_sparse (as in the released models)",
    )


def test_what_a_file_says_is_not_assumed() -> None:
    given = DIALECT.translate(
        {
            "num_rand_blocks": 2,
            "block_size": 16,
            "rescale_embedding": True,
            "hidden_act": "gelu",
            "norm_type": "postnorm",
        }
    )
    config, assumptions = configure(given, found())
    assert (config.num_random_blocks, config.block_size, config.rescale_embeddings) == (2, 16, True)
    assert config.hidden_act == "gelu_new"
    assert [line.partition(":")[0] for line in assumptions] == ["num_attention_heads", "attention_type"]


def test_gelu_is_the_exact_function_in_a_file_of_hugging_face_only() -> None:
    assert DIALECT.translate({"model_type": "big_bird", "hidden_act": "gelu"})["hidden_act"] == "gelu"
    assert DIALECT.translate({"hidden_act": "gelu"})["hidden_act"] == "gelu_new"


def test_heads_are_read_off_factored_kernels() -> None:
    config, assumptions = configure({"num_rand_blocks": 3}, found(factored=True))
    assert config.num_attention_heads == 2
    assert not [line for line in assumptions if "heads" in line]


@pytest.mark.parametrize("task", ["classify", "fill-mask", "next-sentence", "embed"])
@pytest.mark.parametrize(
    "scope", ["bert/", "bigbird/encoder/", ""], ids=["released scope", "another scope", "no scope"]
)
def test_factored_kernels_are_the_same_weights_as_flat_ones(task: str, scope: str) -> None:
    flat = tensors(variables(scope))
    states = []
    for shapes in (variables(scope), variables(scope, factored=True)):
        names = find_variables(Path("p"), shapes)
        config, _ = configure({}, names)
        model = build_model(config, task, get_pattern("google"))
        shaped = {name: tensor.reshape(shapes[name]) for name, tensor in flat.items()}
        load_strictly(model, shaped, names.table(task, config), names.ignorable)
        states.append(model.state_dict())
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    query = flat[f"{scope}encoder/layer_1/attention/self/query/kernel"]
    assert torch.equal(states[0]["encoder.layers.1.attention.query.weight"], query.T)


def test_sixteen_token_types_are_kept_unless_the_file_says_fewer() -> None:
    assert configure({}, found())[0].type_vocab_size == 16
    config, assumptions = configure({"type_vocab_size": 2}, found())
    assert config.type_vocab_size == 2
    assert "type_vocab_size: 2 of 16 rows are kept (the configuration says 2)" in assumptions


def test_the_weights_are_cut_and_filled_to_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    names = found(bias=False)
    config, _ = configure({"type_vocab_size": 2}, names)
    monkeypatch.setattr(TensorFlowFiles, "tensors", lambda self: tensors(variables(bias=False)))
    weights = GoogleWeights(TensorFlowFiles(Path("p"), ()), names, config)
    model = build_model(config, "embed", get_pattern("google"))
    assert not config.use_bias
    load_strictly(model, weights.read().tensors, weights.names("embed", config), weights.ignorable)
    assert torch.equal(model.state_dict()["encoder.layers.0.attention.output.bias"], torch.zeros(HIDDEN))
    assert len(model.state_dict()["embeddings.token_type.weight"]) == 2


def test_an_encoder_for_512_tokens_uses_full_attention_as_its_world_does() -> None:
    config, assumptions = configure({"max_encoder_length": 512, "attention_type": "block_sparse"}, found())
    assert config.attention_type == "original_full"
    assert assumptions[-1] == "attention_type: original_full (max_encoder_length 512 is at most 512)"
    assert configure({"max_encoder_length": 1024}, found())[0].attention_type == "block_sparse"


def test_tasks_are_those_that_there_are_variables_for() -> None:
    shapes = variables()
    assert GoogleNames("bert", shapes).tasks == ("classify", "fill-mask", "next-sentence", "embed")
    without_pooler = {name: shape for name, shape in shapes.items() if "pooler" not in name}
    assert GoogleNames("bert", without_pooler).tasks == ("fill-mask", "embed")


REFUSED = [
    pytest.param({"bert/decoder/layer_0/attention/self/query/kernel": (4, 4)}, "part of a decoder", id="a decoder"),
    pytest.param(
        {"bert/encoder/layer_0/attention/encdec/query/kernel": (4, 4)}, "part of a decoder", id="a coupled decoder"
    ),
    pytest.param(
        {"bert/encoder/layer_0/attention/self/LayerNorm/gamma": (4,)}, "norm_type: 'prenorm'", id="normalised before"
    ),
    pytest.param({"other/embeddings/word_embeddings": (4, 4)}, "has 2", id="two encoders"),
]


@pytest.mark.parametrize(("more", "message"), REFUSED)
def test_another_model_is_refused_in_one_line(more: Shapes, message: str) -> None:
    with pytest.raises((CheckpointError, ConfigError)) as raised:
        find_variables(Path("folder/model.ckpt"), variables() | more)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_variables_of_no_bigbird_are_refused_with_an_example() -> None:
    with pytest.raises(CheckpointError, match="has none, but for example 'dense/kernel'"):
        find_variables(Path("model.ckpt"), {"dense/kernel": (2, 2)})


FIELDS = [
    pytest.param({"norm_type": "prenorm"}, "norm_type: 'prenorm' cannot be exported", id="normalised before"),
    pytest.param(
        {"hidden_act": "gelu_10"}, "hidden_act: 'gelu_10' is not known; known are gelu, linear", id="activation"
    ),
    pytest.param({"hidden_act": ["gelu"]}, "hidden_act: .* is not known", id="activation of another type"),
    pytest.param(
        {"attention_type": "simulated_sparse"}, "attention_type: 'simulated_sparse'", id="simulated attention"
    ),
    pytest.param({"block_size": "64"}, "block_size: '64' has the wrong type", id="another type"),
]


@pytest.mark.parametrize(("values", "message"), FIELDS)
def test_a_field_that_cannot_be_exported_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configure(DIALECT.translate(values), found())


def test_heads_that_cannot_be_told_are_asked_for() -> None:
    shapes = {name: tuple(32 if size == HIDDEN else size for size in shape) for name, shape in variables().items()}
    with pytest.raises(ConfigError, match=r"^num_attention_heads: cannot be told .* put a config\.json beside it$"):
        configure({}, GoogleNames("bert", shapes))


def test_a_variable_that_must_tell_something_is_named_when_it_is_missing() -> None:
    shapes = variables()
    del shapes["bert/embeddings/position_embeddings"]
    with pytest.raises(ConfigError, match="bert/embeddings/position_embeddings: should have 2 dimensions, is missing"):
        configure({}, GoogleNames("bert", shapes))
