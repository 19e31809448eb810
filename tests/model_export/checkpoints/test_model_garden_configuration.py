"""What comes from a file, from shapes or is assumed for Model Garden's variables; no checkpoint is read here."""

from pathlib import Path
from typing import Any

import pytest

from model_export.checkpoints.model_garden import DIALECT, configure, find_variables
from model_export.checkpoints.model_garden_names import ModelGardenNames
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError, ConfigError
from model_export.nn.model import build_model
from model_export.patterns.registry import get_pattern

Shapes = dict[str, tuple[int, ...]]
NESTED = "model/layer_with_weights-0/"


def encoder(place: str = NESTED, *, pooler: bool = False, layers: int = 2, first: int = 4, width: int = 32) -> Shapes:
    """Shapes of an encoder: 2 heads of 16 numbers."""
    shapes: Shapes = {
        "layer_with_weights-0/embeddings": (50, width),
        "layer_with_weights-1/embeddings": (256, width),
        "layer_with_weights-2/embeddings": (16, width),
        "layer_with_weights-3/gamma": (width,),
        "layer_with_weights-3/beta": (width,),
    }
    for layer in (f"layer_with_weights-{first + number}" for number in range(layers)):
        for part in ("query", "key", "value"):
            shapes |= {f"{layer}/_attention_layer/_{part}_dense/kernel": (32, 2, 16)}
            shapes |= {f"{layer}/_attention_layer/_{part}_dense/bias": (2, 16)}
        shapes |= {f"{layer}/_attention_layer/_output_dense/kernel": (2, 16, 32)}
        shapes |= {f"{layer}/_attention_layer/_output_dense/bias": (32,)}
        shapes |= {f"{layer}/_intermediate_dense/kernel": (32, 48), f"{layer}/_intermediate_dense/bias": (48,)}
        shapes |= {f"{layer}/_output_dense/kernel": (48, 32), f"{layer}/_output_dense/bias": (32,)}
        for norm in ("_attention_layer_norm", "_output_layer_norm"):
            shapes |= {f"{layer}/{norm}/gamma": (32,), f"{layer}/{norm}/beta": (32,)}
    if pooler:
        shapes |= {
            f"layer_with_weights-{first + layers}/kernel": (32, 32),
            f"layer_with_weights-{first + layers}/bias": (32,),
        }
    return {f"{place}{name}": shape for name, shape in shapes.items()}


def layer(place: str, inputs: int, outputs: int) -> Shapes:
    return {f"{place}/kernel": (inputs, outputs), f"{place}/bias": (outputs,)}


def find(shapes: Shapes) -> ModelGardenNames:
    return find_variables(Path("folder/ckpt-1"), shapes)


CLASSIFIER = {
    **layer("model/layer_with_weights-1/dense", 32, 32),
    **layer("model/layer_with_weights-1/out_proj", 32, 3),
}
MASKED_LM = {
    **layer("model/masked_lm/dense", 32, 32),
    "model/masked_lm/layer_norm/gamma": (32,),
    "model/masked_lm/layer_norm/beta": (32,),
    "model/masked_lm/output_bias/bias": (50,),
}
WHOLE = [
    pytest.param(encoder(""), ("embed",), id="an encoder as the root"),
    pytest.param(encoder("encoder/"), ("embed",), id="an encoder by its name"),
    pytest.param(encoder("model/", pooler=True), ("embed",), id="an encoder with a pooler"),
    pytest.param(encoder() | CLASSIFIER, ("classify", "embed"), id="a classifier"),
    pytest.param(
        encoder(pooler=True) | layer("model/layer_with_weights-1/out_proj", 32, 3),
        ("classify", "embed"),
        id="a classifier on the encoder's pooler",
    ),
    pytest.param(encoder("encoder/") | CLASSIFIER, ("classify", "embed"), id="a classifier, the encoder by its name"),
    pytest.param(encoder() | layer("model/layer_with_weights-1", 32, 5), ("ner", "embed"), id="a token classifier"),
    pytest.param(
        encoder("layer_with_weights-0/") | layer("layer_with_weights-1", 32, 5),
        ("ner", "embed"),
        id="a token classifier as the root",
    ),
    pytest.param(
        encoder() | layer("model/layer_with_weights-1/layer_with_weights-0", 32, 2),
        ("qa", "embed"),
        id="a span labeler",
    ),
    pytest.param(encoder("model/encoder_network/") | MASKED_LM, ("fill-mask", "embed"), id="a masked language model"),
    pytest.param(
        {
            **{
                name: shape
                for name, shape in encoder("model/encoder_network/").items()
                if not name.endswith("-0/embeddings")
            },
            **MASKED_LM,
            "model/masked_lm/embedding_table": (50, 32),
        },
        ("fill-mask", "embed"),
        id="a masked language model whose path to the word embeddings is the shorter one",
    ),
]


@pytest.mark.parametrize(("shapes", "tasks"), WHOLE)
def test_every_tensor_of_each_task_has_its_place(shapes: Shapes, tasks: tuple[str, ...]) -> None:
    names = find(shapes)
    assert names.tasks == tasks
    for task in tasks:
        config, _ = configure({"block_size": 16}, names, task)
        if task == "embed" and not names.has_pooler:
            config = BigBirdConfig.from_dict({**config.to_dict(), "has_pooler": False})
        model = build_model(config, task, get_pattern("model-garden"))
        table = names.table(task, config)
        assert table.keys() == model.state_dict().keys()
        used = {source.name for source in table.values()}
        assert used <= shapes.keys()
        assert all(name.startswith(names.ignorable) for name in shapes.keys() - used)


def test_without_a_file_shapes_tell_and_the_rest_is_assumed_aloud() -> None:
    config, assumptions = configure({}, find(encoder()), "embed")
    assert (config.vocab_size, config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (
        50,
        32,
        2,
        2,
    )
    assert (config.intermediate_size, config.max_position_embeddings, config.type_vocab_size) == (48, 256, 16)
    assert [line.partition(":")[0] for line in assumptions] == ["block_size", "num_random_blocks", "hidden_act"]


@pytest.mark.parametrize(
    "values",
    [
        {"block_size": 32, "num_rand_blocks": 2, "activation": "Text>gelu", "num_layers": 2, "dropout_rate": 0.2},
        {"block_size": 32, "num_rand_blocks": 2, "hidden_activation": "gelu", "num_layers": 2, "dropout_rate": 0.2},
        {"block_size": 32, "num_random_blocks": 2, "hidden_act": "gelu_new", "hidden_dropout_prob": 0.2},
    ],
    ids=["names of the encoder", "names of its configuration", "names of Hugging Face"],
)
def test_what_a_file_says_is_taken_under_either_kind_of_names(values: dict[str, Any]) -> None:
    config, assumptions = configure(DIALECT.translate(values), find(encoder()), "embed")
    assert (config.block_size, config.num_random_blocks, config.hidden_act) == (32, 2, "gelu_new")
    assert (config.num_hidden_layers, config.hidden_dropout_prob) == (2, 0.2)
    assert assumptions == ()


def test_token_types_are_cut_where_the_file_says_so() -> None:
    config, assumptions = configure({"type_vocab_size": 2}, find(encoder()), "embed")
    assert config.type_vocab_size == 2
    assert assumptions[-1] == "type_vocab_size: 2 of 16 rows are kept (the configuration says 2)"


def test_a_classifier_with_one_output_is_a_regression() -> None:
    shapes = (
        encoder()
        | layer("model/layer_with_weights-1/dense", 32, 32)
        | layer("model/layer_with_weights-1/out_proj", 32, 1)
    )
    config, assumptions = configure({}, find(shapes), "classify")
    assert (config.problem_type, len(config.labels)) == ("regression", 1)
    assert assumptions[-1].startswith("problem_type: regression")


def test_question_answering_is_one_layer_or_that_of_trivia_qa() -> None:
    span = find(encoder() | layer("model/layer_with_weights-1/layer_with_weights-0", 32, 2))
    config, _ = configure({}, span, "qa")
    assert (config.qa_feed_forward, config.qa_layer_norm_eps) == (False, None)
    head = "model/layer_with_weights-1"
    trivia = find(encoder() | layer(f"{head}/_logits_dense", 32, 2))
    config, _ = configure({}, trivia, "qa")
    assert (config.qa_feed_forward, config.qa_layer_norm_eps) == (True, 1e-3)


REFUSED = [
    pytest.param(
        encoder("model/", first=5, width=16) | layer("model/layer_with_weights-4", 16, 32),
        "embedding_width: 16 differs from hidden_size 32",
        id="narrow embeddings",
    ),
    pytest.param(
        encoder("first/") | encoder("second/"), "needs one BigBird encoder of Model Garden, holds 2", id="two"
    ),
    pytest.param({"dense/kernel": (2, 2)}, "holds none, but for example 'dense/kernel'", id="none"),
    pytest.param({}, "needs one BigBird encoder of Model Garden, holds no variables", id="nothing at all"),
]


@pytest.mark.parametrize(("shapes", "message"), REFUSED)
def test_another_model_is_refused_in_one_line(shapes: Shapes, message: str) -> None:
    with pytest.raises((CheckpointError, ConfigError)) as raised:
        find(shapes)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"norm_first": True}, "norm_first: True cannot be exported, only False can"),
        ({"embedding_width": 16}, "embedding_width: 16 differs from hidden_size 32"),
        ({"activation": "hard_swish"}, "hidden_act: 'hard_swish' is not known"),
    ],
)
def test_a_field_that_cannot_be_exported_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configure(DIALECT.translate(values), find(encoder()), "embed")
