from typing import Any

import numpy as np
import pytest
import torch
import transformers

from model_export.checkpoints.pytorch import IGNORABLE, huggingface_names
from model_export.checkpoints.source_tensors import load_strictly
from model_export.config import BigBirdConfig
from model_export.errors import ConfigError
from model_export.nn.model import BigBird, build_model
from model_export.patterns.pattern import Pattern
from model_export.patterns.registry import get_pattern
from tests.model_export.dense_attention import TablePattern, dense_logits, same_for_all
from tests.model_export.reference_models import Document, Reference, make_config, make_document, make_model

TOLERANCE = 1e-4
VOCAB_SIZE = 60


def _own_model(source: transformers.PreTrainedModel, task: str, pattern: Pattern) -> BigBird:
    config = BigBirdConfig.from_dict(source.config.to_dict())
    model = build_model(config, task, pattern).eval()
    load_strictly(model, source.state_dict(), huggingface_names(task, config), IGNORABLE)
    return model


def _logits(model: BigBird, documents: list[Document], length: int) -> list[np.ndarray]:
    ids, mask, types = (torch.zeros(len(documents), length, dtype=torch.int64) for _ in range(3))
    for row, document in enumerate(documents):
        ids[row, : len(document)] = torch.from_numpy(document.input_ids)
        types[row, : len(document)] = torch.from_numpy(document.token_type_ids)
        mask[row, : len(document)] = 1
    with torch.inference_mode():
        logits = model(ids, mask, types)
    assert torch.isfinite(logits).all()
    return [row[: len(document)].numpy() for row, document in zip(logits, documents, strict=True)]


def _make(task: str, **fields: Any) -> transformers.PreTrainedModel:
    return make_model(task, make_config(VOCAB_SIZE, **fields))


def test_the_dense_reference_itself_agrees_with_transformers() -> None:
    source = _make("qa", num_random_blocks=2, max_position_embeddings=320)
    tables = same_for_all(source.config, [0, 0])
    for length in (1, 100, 144, 145, 200, 320):
        document = make_document(length, vocab_size=VOCAB_SIZE)
        dense = dense_logits(source, document, tables if length > 144 else None)
        assert np.abs(dense - Reference(source).alone(document)).max() <= TOLERANCE


@pytest.mark.parametrize(
    ("pattern", "random_blocks"),
    [
        pytest.param("transformers", 0, id="no random blocks in the configuration"),
        pytest.param("none", 0, id="none, and none in the configuration"),
        pytest.param("none", 2, id="none, although the configuration has two"),
    ],
)
def test_a_model_without_random_blocks_agrees_with_a_dense_mask(pattern: str, random_blocks: int) -> None:
    source = _make("qa", num_random_blocks=random_blocks, max_position_embeddings=320)
    model = _own_model(source, "qa", get_pattern(pattern))
    edge = (5 + 2 * random_blocks) * 16
    documents = [make_document(length, vocab_size=VOCAB_SIZE) for length in (edge + 1, edge + 16, 250, 319, 320)]
    nothing = same_for_all(source.config, [])
    for document, logits in zip(documents, _logits(model, documents, 320), strict=True):
        expected = dense_logits(source, document, nothing)
        assert expected.std() >= 0.5
        assert np.abs(logits - expected).max() <= TOLERANCE
        assert np.abs(dense_logits(source, document, None) - expected).max() >= 100 * TOLERANCE


def test_tables_that_differ_by_layer_and_head_agree_with_a_dense_mask() -> None:
    """The interface that the seeded patterns will use."""
    source = _make("ner", num_random_blocks=3, max_position_embeddings=320, num_labels=4)
    generator = np.random.default_rng(3)
    tables = generator.integers(0, 20, (2, 3, 18, 3)).tolist()
    model = _own_model(source, "ner", TablePattern(tables))
    documents = [make_document(length, vocab_size=VOCAB_SIZE) for length in (177, 192, 193, 255, 320)]
    same_everywhere = [[tables[0][0]] * 3] * 2
    for bucket in (192, 256, 320):
        fitting = [document for document in documents if len(document) <= bucket]
        for document, logits in zip(fitting, _logits(model, fitting, bucket), strict=True):
            expected = dense_logits(source, document, tables)
            assert np.abs(logits - expected).max() <= TOLERANCE
            assert np.abs(dense_logits(source, document, same_everywhere) - expected).max() >= 100 * TOLERANCE


@pytest.mark.parametrize("activation", ["selu", "elu"])
def test_a_model_with_an_activation_that_transformers_lacks_can_be_built(activation: str) -> None:
    config = BigBirdConfig(vocab_size=60, hidden_size=12, num_attention_heads=3, hidden_act=activation)
    assert build_model(config, "classify", get_pattern("transformers"))


def test_an_unknown_activation_is_refused_when_the_model_is_built() -> None:
    with pytest.raises(ConfigError, match=r"^hidden_act: 'sine'"):
        build_model(BigBirdConfig(vocab_size=60, hidden_act="sine", num_hidden_layers=1), "qa", get_pattern("none"))


def test_a_length_that_is_not_whole_blocks_is_refused_beyond_the_edge() -> None:
    model = _own_model(_make("qa"), "qa", get_pattern("transformers"))
    for length in (113, 255):
        with pytest.raises(ValueError, match=f"length {length} is not whole blocks of 16 up to 256"):
            _logits(model, [make_document(113, vocab_size=VOCAB_SIZE)], length)


@pytest.mark.parametrize("task", ["qa", "classify", "ner"])
def test_in_training_mode_every_parameter_gets_a_finite_gradient(task: str) -> None:
    model = _own_model(_make(task, num_labels=2), task, get_pattern("transformers")).train()
    torch.manual_seed(0)
    ids = torch.randint(0, VOCAB_SIZE, (2, 256))
    mask = (torch.arange(256) < torch.tensor([[256], [170]])).long()
    logits = model(ids, mask, torch.arange(256).expand(2, -1) % 2)
    (logits * torch.randn(logits.shape)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        # A key bias shifts all scores of a row alike: softmax does not see it.
        assert parameter.grad.any() or name.endswith("key.bias"), name


def test_dropout_is_active_in_training_mode_and_absent_in_evaluation() -> None:
    model = _own_model(_make("ner", hidden_dropout_prob=0.3, num_labels=3), "ner", get_pattern("transformers"))
    inputs = [torch.ones(1, 128, dtype=torch.int64)] * 3
    with torch.inference_mode():
        assert torch.equal(model(*inputs), model(*inputs))
        model.train()
        assert not torch.equal(model(*inputs), model(*inputs))


def test_a_run_changes_no_global_random_state() -> None:
    model = _own_model(_make("qa"), "qa", get_pattern("transformers"))
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    _logits(model, [make_document(200, vocab_size=VOCAB_SIZE)], 256)
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])


@pytest.mark.parametrize("length", [5, 40, 65, 100], ids=lambda length: f"{length} tokens")
@pytest.mark.parametrize("is_decoder", [False, True], ids=["an encoder", "a decoder"])
def test_padding_stays_a_copy_of_the_first_token_through_all_layers(length: int, is_decoder: bool) -> None:
    config = BigBirdConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=12,
        num_attention_heads=3,
        num_hidden_layers=3,
        intermediate_size=16,
        block_size=8,
        num_random_blocks=1,
        max_position_embeddings=128,
        is_decoder=is_decoder,
    )
    torch.manual_seed(0)
    model = build_model(config, "generate" if is_decoder else "qa", get_pattern("google")).eval()
    padded = 48 if length <= 48 else 128
    ids, mask = torch.randint(0, VOCAB_SIZE, (2, padded)), torch.zeros(2, padded, dtype=torch.int64)
    mask[0, :length], mask[1] = 1, 1
    with torch.inference_mode():
        hidden = model.encoder(model.embeddings(ids, torch.zeros_like(ids)), mask)
    assert torch.allclose(hidden[0, length:], hidden[0, :1].expand(padded - length, -1), atol=1e-5)
    assert not torch.allclose(hidden[0, length - 1], hidden[0, 0], atol=1e-2)
