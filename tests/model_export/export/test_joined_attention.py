"""One graph of both kinds of attention is, at every length, the graph of that length's kind."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from bigbird_inference.runtime.session import Session
from model_export.config import BigBirdConfig
from model_export.export.buckets import plan_graphs
from model_export.export.references import TorchSession, pad_batch, random_document
from model_export.export.signature import signature
from model_export.export.trace import graphs_of
from model_export.nn.model import BigBird
from tests.cpu_runtimes import IN_ONNXRUNTIME, ONNXRUNTIME, OPENVINO, OPENVINO_BF16, CpuCase
from tests.model_export.export.traced_models import SMALL, open_traced, save_traced, spread_model

CONFIG = replace(SMALL, max_position_embeddings=256)
FULL, BLOCK_SPARSE = plan_graphs(CONFIG)
# What a run leaves behind must not reach the next one: shapes grow and shrink, and the kind changes.
LENGTHS = (16, 112, 256, 128, 112, 256, 32, 144, 16, 240, 96)
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def model() -> BigBird:
    return spread_model(CONFIG, "transformers-train")


@pytest.fixture(scope="module")
def joined(model: BigBird, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_traced(model, [FULL, BLOCK_SPARSE], tmp_path_factory.mktemp("joined") / "graph.onnx")


def _logits(session: Session, length: int, documents: int) -> np.ndarray:
    shortest = 113 if length > 112 else max(1, length // 2)
    batch = [random_document(CONFIG, own) for own in (length, shortest, (length + shortest) // 2)[:documents]]
    logits: np.ndarray = session.run(pad_batch(batch, length))["logits"]
    return logits


def test_it_gives_the_bits_of_the_graphs_of_one_kind(model: BigBird, joined: Path, tmp_path: Path) -> None:
    both = open_traced(joined, IN_ONNXRUNTIME)
    apart = {
        plan.attention: open_traced(save_traced(model, [plan], tmp_path / plan.attention), IN_ONNXRUNTIME)
        for plan in (FULL, BLOCK_SPARSE)
    }
    for length in LENGTHS:
        own = apart["full" if length <= 112 else "block_sparse"]
        for documents in (1, 3):
            np.testing.assert_array_equal(
                _logits(both, length, documents), _logits(own, length, documents), f"{length}"
            )


@pytest.mark.parametrize("cpu", [ONNXRUNTIME, OPENVINO])
def test_it_gives_what_torch_gives_whatever_ran_before(model: BigBird, joined: Path, cpu: CpuCase) -> None:
    session, torch = open_traced(joined, cpu), TorchSession(model, signature("ner", CONFIG))
    for length in LENGTHS:
        expected = _logits(torch, length, 3)
        assert expected.std() >= 0.5
        assert np.abs(_logits(session, length, 3) - expected).max() <= TOLERANCE, length


@pytest.mark.parametrize("cpu", [OPENVINO, OPENVINO_BF16])
def test_what_ran_before_changes_no_bit(joined: Path, cpu: CpuCase) -> None:
    session = open_traced(joined, cpu)
    fresh = {length: _logits(open_traced(joined, cpu), length, 2) for length in set(LENGTHS)}
    for length in LENGTHS:
        np.testing.assert_array_equal(_logits(session, length, 2), fresh[length], f"{length}")


def test_its_weights_stand_in_it_once_and_no_mark_is_left(joined: Path) -> None:
    graph = onnx.load(joined).graph
    onnx.checker.check_model(joined)
    assert {node.domain for node in graph.node} <= {""}
    products = [node.input[1] for node in graph.node if node.op_type == "MatMul" and "weight" in node.input[1]]
    # Query, key, value, output, two of feed-forward; the head's.
    assert len(products) == len(set(products)) == 2 * 6 + 1


@pytest.mark.parametrize(
    ("precision", "kernel", "positions", "graphs"),
    [
        pytest.param("fp32", "composed", 256, 1, id="fp32"),
        pytest.param("int8", "composed", 256, 1, id="int8"),
        pytest.param("fp32", "fused", 256, 2, id="for GPUs"),
        pytest.param("fp16", "composed", 256, 2, id="half precision"),
        pytest.param("fp32", "composed", 128, 2, id="a single block-sparse length, which is traced whole"),
        pytest.param("fp32", "composed", 112, 1, id="full attention alone"),
    ],
)
def test_what_is_for_cpus_has_one_graph(precision: str, kernel: str, positions: int, graphs: int) -> None:
    plans = plan_graphs(BigBirdConfig(block_size=16, num_random_blocks=1, max_position_embeddings=positions))
    found = graphs_of(precision, kernel, plans)  # type: ignore[arg-type]
    assert len(found) == graphs
    assert [plan for together in found for plan in together] == plans
