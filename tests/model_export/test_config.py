import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from model_export.config import BigBirdConfig
from model_export.errors import ConfigError, ExportError

COMMON_FIELDS = [
    field.name
    for field in dataclasses.fields(BigBirdConfig)
    if field.name
    not in (
        "labels",
        "problem_type",
        "classifier_activation",
        "qa_feed_forward",
        "qa_layer_norm_eps",
        "has_answer_types",
        "has_pooler",
        "token_types",
    )
]

NOTHING_SAID = BigBirdConfig(labels=("", ""))


def test_the_defaults_are_those_of_transformers() -> None:
    theirs = transformers.BigBirdConfig()
    ours = BigBirdConfig()
    assert {name: getattr(ours, name) for name in COMMON_FIELDS} == {
        name: getattr(theirs, name) for name in COMMON_FIELDS
    }


OTHER_FIELDS: dict[str, Any] = {
    "vocab_size": 100,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 50,
    "hidden_act": "relu",
    "hidden_dropout_prob": 0,
    "attention_probs_dropout_prob": 0.5,
    "max_position_embeddings": 1000,
    "type_vocab_size": 16,
    "initializer_range": 0.5,
    "layer_norm_eps": 1e-5,
    "attention_type": "original_full",
    "use_bias": False,
    "rescale_embeddings": True,
    "block_size": 16,
    "num_random_blocks": 2,
    "classifier_dropout": 0.25,
    "pad_token_id": 7,
    "eos_token_id": 8,
    "is_decoder": True,
    "tie_word_embeddings": False,
}


def test_every_field_of_a_transformers_configuration_is_read() -> None:
    assert set(OTHER_FIELDS) == set(COMMON_FIELDS)
    theirs = transformers.BigBirdConfig(**OTHER_FIELDS, num_labels=3, problem_type="multi_label_classification")
    ours = BigBirdConfig.from_dict(theirs.to_dict())
    assert {name: getattr(ours, name) for name in COMMON_FIELDS} == OTHER_FIELDS
    assert ours.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    assert ours.problem_type == "multi_label_classification"


def test_a_configuration_file_that_transformers_saved_is_read(tmp_path: Path) -> None:
    names = {0: "O", 1: "B-PER", 2: "I-PER"}
    transformers.BigBirdConfig(**OTHER_FIELDS, id2label=names).save_pretrained(tmp_path)
    ours = BigBirdConfig.from_dict(json.loads((tmp_path / "config.json").read_text()))
    assert ours.labels == ("O", "B-PER", "I-PER")
    assert {name: getattr(ours, name) for name in COMMON_FIELDS} == OTHER_FIELDS


def test_our_configuration_reads_back_equal_through_json_and_through_transformers() -> None:
    ours = BigBirdConfig(**OTHER_FIELDS, labels=("a", "b", "c"), problem_type="regression")
    values = json.loads(json.dumps(ours.to_dict()))
    assert BigBirdConfig.from_dict(values) == ours
    assert BigBirdConfig.from_dict(transformers.BigBirdConfig(**values).to_dict()) == ours


def test_fields_that_are_not_ours_are_left_aside() -> None:
    assert BigBirdConfig.from_dict({"use_cache": True, "torch_dtype": "float32", "anything": [1]}) == NOTHING_SAID


@pytest.mark.parametrize(
    ("values", "field"),
    [
        *(
            pytest.param({name: value}, name, id=f"{name} is {value}")
            for name in (
                "vocab_size",
                "hidden_size",
                "num_hidden_layers",
                "num_attention_heads",
                "intermediate_size",
                "max_position_embeddings",
                "type_vocab_size",
                "block_size",
            )
            for value in (0, -1)
        ),
        pytest.param({"layer_norm_eps": 0.0}, "layer_norm_eps", id="layer-norm epsilon is 0"),
        pytest.param({"layer_norm_eps": float("nan")}, "layer_norm_eps", id="layer-norm epsilon is not a number"),
        pytest.param({"num_random_blocks": -1}, "num_random_blocks", id="fewer than no random blocks"),
        pytest.param({"hidden_size": 769}, "hidden_size", id="hidden size not divisible by heads"),
        pytest.param({"num_attention_heads": 7}, "hidden_size", id="heads do not divide the hidden size"),
        pytest.param({"attention_type": "sparse"}, "attention_type", id="unknown attention"),
        pytest.param({"problem_type": "ranking"}, "problem_type", id="unknown problem type"),
        pytest.param({"hidden_dropout_prob": 1.0}, "hidden_dropout_prob", id="everything is dropped"),
        pytest.param({"hidden_dropout_prob": -0.1}, "hidden_dropout_prob", id="negative dropout"),
        pytest.param({"attention_probs_dropout_prob": 2}, "attention_probs_dropout_prob", id="dropout above one"),
        pytest.param({"classifier_dropout": 1.5}, "classifier_dropout", id="classifier dropout above one"),
        pytest.param({"pad_token_id": 50358}, "pad_token_id", id="padding outside the vocabulary"),
        pytest.param({"pad_token_id": -1}, "pad_token_id", id="negative padding"),
        pytest.param({"eos_token_id": [1, "2"]}, "eos_token_id", id="an end of text that is not a number"),
        pytest.param({"add_cross_attention": True}, "add_cross_attention", id="cross attention"),
        pytest.param({"model_type": "bert"}, "model_type", id="another model"),
        pytest.param({"id2label": ["A", "B"]}, "id2label", id="labels as a list"),
        pytest.param({"id2label": {"first": "A"}}, "id2label", id="label numbers that are none"),
        pytest.param({"id2label": {"-100": "A"}}, "id2label", id="a label number below 0"),
        pytest.param({"id2label": {"100000": "A"}}, "id2label", id="a label number beyond every head"),
        pytest.param({"id2label": {"0": "\ud800"}}, "id2label", id="a label that is not Unicode"),
        pytest.param({"label2id": {"A": "first"}}, "label2id", id="labels without numbers"),
        pytest.param({"num_labels": 100_001}, "num_labels", id="labels without end"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_by_the_name_of_its_field(
    values: dict[str, Any], field: str
) -> None:
    with pytest.raises(ConfigError, match=rf"^{field}: "):
        BigBirdConfig.from_dict(values)


WRONG_TYPES: dict[str, list[Any]] = {
    "vocab_size": ["50358", 1.5, None, True, [1]],
    "hidden_act": [3, None, ["gelu"], {"name": "gelu"}],
    "hidden_dropout_prob": ["0.1", None, True, []],
    "layer_norm_eps": ["1e-12", None, {}],
    "attention_type": [None, 1, ["block_sparse"]],
    "use_bias": [1, "true", None],
    "rescale_embeddings": [0, "no", None],
    "classifier_dropout": ["0.1", False],
    "problem_type": [1, ["regression"]],
    "pad_token_id": ["0", 0.0, False],
    "num_labels": ["2", 2.0, True],
    "id2label": [3, "A", [[0, "A"]]],
}


@pytest.mark.parametrize(
    ("field", "value"),
    [pytest.param(name, value, id=f"{name} is {value!r}") for name, values in WRONG_TYPES.items() for value in values],
)
def test_a_field_of_the_wrong_type_is_refused_by_its_name(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"^{field}: "):
        BigBirdConfig.from_dict({field: value})


def test_a_configuration_error_is_an_export_error() -> None:
    assert issubclass(ConfigError, ExportError)


@pytest.mark.parametrize("name", ["classifier_dropout", "problem_type", "pad_token_id"])
def test_fields_that_transformers_leaves_empty_may_be_null(name: str) -> None:
    assert BigBirdConfig.from_dict({name: None}) == NOTHING_SAID


@pytest.mark.parametrize(
    ("fields", "edge", "longest"),
    [
        pytest.param({}, 704, 4096, id="the base configuration"),
        pytest.param({"num_random_blocks": 0}, 320, 4096, id="no random blocks"),
        pytest.param({"block_size": 16, "num_random_blocks": 4}, 208, 4096, id="another block size"),
        pytest.param({"max_position_embeddings": 1000}, 704, 960, id="positions that do not fill a block"),
        pytest.param({"max_position_embeddings": 720}, 704, 704, id="the edge is the longest whole block"),
        pytest.param({"max_position_embeddings": 704}, 704, 704, id="the edge is the last position"),
        pytest.param({"max_position_embeddings": 703}, 703, 703, id="the edge is just beyond the positions"),
        pytest.param({"max_position_embeddings": 514}, 514, 514, id="514 positions, all in full attention"),
        pytest.param({"max_position_embeddings": 86, "block_size": 8}, 86, 86, id="86 positions, blocks of 8"),
        pytest.param({"max_position_embeddings": 90, "block_size": 8}, 88, 88, id="two positions after the edge"),
        pytest.param({"max_position_embeddings": 64}, 64, 64, id="a single block"),
        pytest.param({"max_position_embeddings": 50}, 50, 50, id="less than a block"),
        pytest.param(
            {"attention_type": "original_full", "max_position_embeddings": 1000}, 1000, 1000, id="full attention"
        ),
        pytest.param(
            {"attention_type": "original_full", "max_position_embeddings": 50}, 50, 50, id="full, below one block"
        ),
    ],
)
def test_the_edge_of_full_attention_and_the_longest_input(fields: dict[str, Any], edge: int, longest: int) -> None:
    config = BigBirdConfig(**fields)
    assert (config.full_attention_edge, config.max_length) == (edge, longest)


def test_a_decoder_uses_full_attention_up_to_its_last_position() -> None:
    config = BigBirdConfig.from_dict({"is_decoder": True, "max_position_embeddings": 1000})
    assert config.always_full
    assert config.full_attention_edge == config.max_length == 1000


def test_an_end_of_text_may_stand_in_a_list_and_may_be_absent() -> None:
    assert BigBirdConfig.from_dict({"eos_token_id": [7]}).eos_token_id == 7
    assert BigBirdConfig.from_dict({"eos_token_id": None}).end_ids == ()
    several = BigBirdConfig.from_dict({"eos_token_id": [7, 9]})
    assert several.end_ids == (7, 9)
    assert BigBirdConfig.from_dict(json.loads(json.dumps(several.to_dict()))) == several


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        pytest.param({}, ("", ""), id="none: transformers' usual number"),
        pytest.param({"num_labels": 3}, ("", "", ""), id="a number"),
        pytest.param({"id2label": {"0": "A", "2": "B"}}, ("A", "", "B"), id="a gap"),
        pytest.param({"label2id": {"A": 1}}, ("", "A"), id="the other way round"),
    ],
)
def test_labels_without_a_name_are_left_open(values: dict[str, Any], labels: tuple[str, ...]) -> None:
    assert BigBirdConfig.from_dict(values).labels == labels


def test_fields_that_transformers_does_not_know_are_written_only_where_they_matter() -> None:
    assert "classifier_activation" not in BigBirdConfig().to_dict()
    values = BigBirdConfig(classifier_activation="tanh", qa_feed_forward=False, has_pooler=False).to_dict()
    assert (values["classifier_activation"], values["qa_feed_forward"], values["has_pooler"]) == ("tanh", False, False)
    assert BigBirdConfig.from_dict(values).classifier_activation == "tanh"
