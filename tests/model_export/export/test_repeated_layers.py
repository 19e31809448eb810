"""A layer that was traced once computes every layer, each with its own weights and its own random blocks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from bigbird_inference.runtime.session import Batch, Session
from model_export.export.buckets import GraphPlan
from model_export.export.references import TorchSession, pad_batch, random_document
from model_export.export.signature import signature
from model_export.nn.model import BigBird
from tests.model_export.export.traced_models import SMALL, spread_model, traced_session
from tests.model_export.patterns.reference_tables import reference_table

CONFIG = replace(SMALL, num_hidden_layers=3, max_position_embeddings=256, num_random_blocks=2)
FULL, SPARSE = GraphPlan("full", 1, 144, 1), GraphPlan("block_sparse", 160, 256, 16)
TOLERANCE = 1e-4


def _model(pattern: str = "transformers", **fields: object) -> BigBird:
    return spread_model(replace(CONFIG, **fields), pattern)  # type: ignore[arg-type]


def _logits(session: Session, length: int) -> np.ndarray:
    batch: Batch = pad_batch([random_document(CONFIG, length)], -(-length // 16) * 16)
    return np.asarray(session.run(batch)["logits"][0, :length])


def _difference(session: Session, model: BigBird, length: int) -> float:
    expected = _logits(TorchSession(model, signature("ner", model.config)), length)
    assert expected.std() >= 0.5
    return float(np.abs(_logits(session, length) - expected).max())


def test_weights_that_are_equal_in_one_layer_and_different_in_the_others_keep_their_places(tmp_path: Path) -> None:
    """Layer 0 as it is initialised: all norms ones, all biases zeros, and twice the same matrix."""
    model = _model()
    first = model.encoder.layers[0]
    with torch.no_grad():
        for name, parameter in first.named_parameters():
            if parameter.ndim == 1:
                parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)
        first.attention.key.weight.copy_(first.attention.query.weight)
        first.attention.value.weight.copy_(first.attention.query.weight.T)
        first.attention.output.weight.copy_(first.attention.query.weight)
    session = traced_session(model, [FULL], tmp_path / "graph.onnx")
    assert max(_difference(session, model, length) for length in (1, 50, 144)) <= TOLERANCE
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(tmp_path / "graph.onnx").graph.initializer}
    parameters = {
        f"encoder.layers.{name}": tensor.numpy() for name, tensor in model.encoder.layers.state_dict().items()
    }
    assert len(parameters) == 3 * 16
    for name, array in parameters.items():
        found = stored[name] if name in stored else stored[f"{name}.transposed"].T
        np.testing.assert_array_equal(found, array, err_msg=name)


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_there_are_as_many_layers_as_the_model_has(layers: int, tmp_path: Path) -> None:
    model = _model(num_hidden_layers=layers)
    session = traced_session(model, [FULL], tmp_path / "graph.onnx")
    assert _difference(session, model, 100) <= TOLERANCE
    graph = onnx.load(tmp_path / "graph.onnx").graph
    assert sum(node.op_type == "Softmax" for node in graph.node) == layers
    assert {node.domain for node in graph.node} <= {""}, "a mark is left"
    names = [output for node in graph.node for output in node.output if output]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("plans", [[SPARSE], [FULL, SPARSE]], ids=["block-sparse", "joined"])
def test_each_layer_has_its_own_random_blocks(plans: list[GraphPlan], tmp_path: Path) -> None:
    """Exchanged tables would be noticed: the layers of another order give other logits."""
    model = _model("transformers-train")
    session = traced_session(model, plans, tmp_path / "graph.onnx")
    lengths = (160, 200, 256)
    assert max(_difference(session, model, length) for length in lengths) <= TOLERANCE
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(tmp_path / "graph.onnx").graph.initializer}
    for layer in (1, 2):
        table = reference_table(
            "transformers-train", layer, blocks=16, heads=2, slots=2, block_size=16, max_position_embeddings=256
        )
        np.testing.assert_array_equal(stored[f"encoder.layers.{layer}.random_blocks"], table[None])
    blocks = model.encoder.random_blocks
    for order in ([1, 0, 2], [0, 2, 1], [0, 0, 0]):
        model.encoder.random_blocks = [blocks[layer] for layer in order]
        assert max(_difference(session, model, length) for length in lengths) >= 100 * TOLERANCE, order
    model.encoder.random_blocks = blocks
