"""Exported Model Garden checkpoints against Model Garden's own answers (`tests/fixtures/make_model_garden.py`)."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bigbird_inference.runtime.session import Outputs
from model_export.checkpoints.recognise import read_checkpoint
from tests.model_export.checkpoints.exported_fixtures import FIXTURES, TOLERANCE
from tests.model_export.checkpoints.tensorflow_fixture import (
    Array,
    TensorFlowFixture,
    encoder_outputs,
    one_process_for_each_checkpoint,  # noqa: F401
)

FOLDER = FIXTURES / "model_garden"
Answer = Callable[[Outputs, Array], Array]
LOGITS: Answer = lambda outputs, positions: outputs["logits"]  # noqa: E731
LOGITS_AT: Answer = lambda outputs, positions: outputs["logits"][positions]  # noqa: E731
HIDDEN_AT: Answer = lambda outputs, positions: outputs["hidden"][positions]  # noqa: E731
CASES = [
    pytest.param(("encoder", "sequence", HIDDEN_AT, (176, 1536)), id="encoder alone, which has no pooler"),
    pytest.param(("classifier", "logits", LOGITS, (176, 1024)), id="classifier", marks=pytest.mark.integration),
    pytest.param(
        ("span_labeler", "logits", LOGITS_AT, (176, 1024)), id="span labeler, one layer", marks=pytest.mark.integration
    ),
    pytest.param(("token_classifier", "logits", LOGITS_AT, (176, 1024)), id="token classifier"),
    pytest.param(
        ("pretrainer", "logits", LOGITS, (176, 1024)), id="masked language model", marks=pytest.mark.integration
    ),
    pytest.param(("trivia_qa", "logits", LOGITS_AT, (176, 1024)), id="TriviaQA, a SavedModel of a configured encoder"),
    pytest.param(
        ("encoder", "sequence", HIDDEN_AT, (176, 1536), "exported"), id="the whole way", marks=pytest.mark.integration
    ),
]


@pytest.fixture(scope="module", params=CASES)
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TensorFlowFixture, str, Answer]:
    name, output, answer, buckets, *whole = request.param
    fixture = TensorFlowFixture(FOLDER / name, tmp_path_factory.mktemp(name), None, buckets, whole=bool(whole))
    return fixture, output, answer


def test_the_bundle_answers_as_model_garden_does(exported: tuple[TensorFlowFixture, str, Answer]) -> None:
    fixture, output, answer = exported
    for length in fixture.lengths:
        expected = fixture.expected(length, output)
        ours = answer(fixture.run(length), fixture.positions(length))
        assert ours.shape == expected.shape
        assert np.abs(ours - expected).max() <= TOLERANCE, length


def test_the_manifest_says_where_the_weights_come_from(exported: tuple[TensorFlowFixture, str, Answer]) -> None:
    fixture, _, _ = exported
    assert fixture.kind == "model-garden"
    assert fixture.pattern == "model-garden"


@pytest.mark.parametrize("pattern", ["google", "transformers-train", "transformers"])
def test_the_pattern_of_another_source_misses(pattern: str) -> None:
    ours, expected = encoder_outputs(FOLDER / "encoder", pattern)[1500]["sequence"]
    assert np.abs(ours - expected).max() >= 100 * TOLERANCE


def test_a_released_model_says_nothing_and_what_is_missing_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "without_configuration"
    shutil.copytree(FOLDER / "encoder", folder)
    (folder / "config.json").unlink()
    checkpoint = read_checkpoint(folder)
    assert (checkpoint.task, checkpoint.config.num_attention_heads, checkpoint.config.type_vocab_size) == (
        "embed",
        2,
        16,
    )
    assert checkpoint.assumptions == (
        "block_size: 64 (Model Garden's default)",
        "num_random_blocks: 3 (Model Garden's default)",
        "hidden_act: gelu_new (GELU in the tanh form, Model Garden's default)",
    )
