"""Exported google-research checkpoints against google-research's own answers (`tests/fixtures/make_google.py`)."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bigbird_inference.runtime.session import Outputs
from model_export.checkpoints.checkpoint import CheckpointOptions
from model_export.checkpoints.google import read
from model_export.checkpoints.recognise import read_checkpoint
from model_export.errors import ConfigError
from tests.model_export.checkpoints.exported_fixtures import FIXTURES, TOLERANCE
from tests.model_export.checkpoints.tensorflow_fixture import (
    Array,
    TensorFlowFixture,
    encoder_outputs,
    log_softmax,
    one_process_for_each_checkpoint,  # noqa: F401
)

PRETRAINED, CLASSIFIER = FIXTURES / "google" / "pretrained", FIXTURES / "google" / "classifier"
# (5 + 2r) blocks of 16 tokens are the longest full attention; 560 tokens take the general plan, the others the listed.

Answer = Callable[[Outputs, Array], Array]
# google-research's heads answer with logarithms of probabilities.
ANSWERS: dict[str, Answer] = {
    "masked_lm": lambda outputs, positions: log_softmax(outputs["logits"]),
    "next_sentence": lambda outputs, positions: log_softmax(outputs["logits"]),
    "classify": lambda outputs, positions: log_softmax(outputs["logits"]),
}
CASES = [
    pytest.param(
        ("pretrained", None, (176, 576, 2048), ["masked_lm"]), id="masked language model, which pre-training is for"
    ),
    pytest.param(("pretrained", "next-sentence", (176, 576), ["next_sentence"]), id="next sentence"),
    pytest.param(
        ("classifier", None, (112, 1024), ["classify"]),
        id="classifier without bias, embeddings rescaled, one random block",
    ),
    pytest.param(
        ("pretrained", None, (176, 576, 2048), ["masked_lm"], "exported"),
        id="the whole way",
        marks=pytest.mark.integration,
    ),
]


@pytest.fixture(scope="module", params=CASES)
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TensorFlowFixture, list[str]]:
    name, task, buckets, outputs, *whole = request.param
    folder = tmp_path_factory.mktemp("google")
    return TensorFlowFixture(FIXTURES / "google" / name, folder, task, buckets, whole=bool(whole)), outputs


def test_the_bundle_answers_as_google_research_does(exported: tuple[TensorFlowFixture, list[str]]) -> None:
    fixture, outputs = exported
    assert {fixture.attention(length) for length in fixture.lengths} == {"full", "block_sparse"}
    for length in fixture.lengths:
        answers = fixture.run(length)
        for output in outputs:
            expected = fixture.expected(length, output)
            ours = ANSWERS[output](answers, fixture.positions(length))
            assert ours.shape == expected.shape
            assert np.abs(ours - expected).max() <= TOLERANCE, (length, output)


def test_the_manifest_says_where_the_weights_come_from(exported: tuple[TensorFlowFixture, list[str]]) -> None:
    fixture, _ = exported
    assert fixture.kind == "google-research"
    assert fixture.pattern == "google"


@pytest.mark.parametrize("checkpoint", [PRETRAINED, CLASSIFIER], ids=["of pre-training", "of a classifier"])
def test_the_encoder_alone_answers_as_google_research_does(checkpoint: Path) -> None:
    states = encoder_outputs(checkpoint, None)
    assert len(states) >= 2
    for length, outputs in states.items():
        for output, (ours, expected) in outputs.items():
            assert np.abs(ours - expected).max() <= TOLERANCE, (length, output)


def test_the_pattern_of_another_source_misses_at_the_lengths_where_the_two_differ() -> None:
    """transformers has dropped 2048 from the listed lengths, and its table for 1024 has this model's 2048 positions."""
    states = encoder_outputs(PRETRAINED, "transformers-train")
    differences = {length: np.abs(np.subtract(*outputs["sequence"])).max() for length, outputs in states.items()}
    assert min(differences[1010], differences[2040]) >= 100 * TOLERANCE
    assert max(differences[150], differences[550]) <= TOLERANCE


def test_a_classifier_gets_its_configuration_from_the_file_that_training_left() -> None:
    checkpoint = read_checkpoint(CLASSIFIER)
    config = checkpoint.config
    assert (checkpoint.task, checkpoint.assumptions) == ("classify", ())
    assert (config.hidden_act, config.classifier_activation, len(config.labels)) == ("relu", "tanh", 3)
    assert (config.rescale_embeddings, config.use_bias) == (True, False)
    assert (config.num_random_blocks, config.num_attention_heads, config.block_size) == (1, 3, 16)
    assert [file.name for file in checkpoint.files] == [
        "classifier.config",
        "model.ckpt-0.index",
        "model.ckpt-0.data-00000-of-00001",
        "spiece.model",
    ]


def test_a_task_without_weights_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(
        ConfigError, match=r"no head for ner, only for fill-mask, next-sentence, embed; `bigbird finetune`"
    ):
        read(PRETRAINED, CheckpointOptions("ner"))


def test_nothing_is_written_to_the_terminal_while_tensorflow_reads(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # A copy, of which nothing is remembered.
    checkpoint = read(Path(shutil.copytree(PRETRAINED, tmp_path / "copy")), CheckpointOptions())
    assert "bert/embeddings/word_embeddings" in checkpoint.weights.read().tensors
    assert capfd.readouterr() == ("", "")
