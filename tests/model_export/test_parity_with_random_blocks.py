"""The pattern `transformers-train` against transformers in `train()` with every dropout 0, through onnxruntime.

The random blocks of a document depend on its own number of blocks and on nothing else, so it is asked for alone, in
mixed batches, and in buckets that are longer than it needs. That `transformers` (what `eval()` computes) would miss by
100 times the tolerance shows that the random blocks are compared at all.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.model_export.exported_models import ExportedModel, Logits, largest_difference

pytestmark = pytest.mark.integration  # traces graphs, and asks transformers about long documents

TOLERANCE = 1e-4
MISS = 100 * TOLERANCE
SMALLEST_SPREAD = 0.5

# 1024, 3072 and 4096 are the lengths with tables of their own, and 1000 and 4095 are padded to them.
LENGTHS = (705, 768, 1000, 1024, 1500, 2048, 3000, 3072, 4095, 4096)
# By number of heads; with many, transformers itself takes its time.
BUCKETS = {2: (704, 1024, 4096), 12: (704, 4096)}
EVALUATED_LENGTHS = {2: LENGTHS, 12: (705, 1024, 2048)}


@dataclass(frozen=True)
class TrainingModel:
    """A bundle, and what its model computes while it is trained and while it is evaluated."""

    exported: ExportedModel
    folder: Path
    trained: dict[int, Logits]
    evaluated: dict[int, Logits]


@pytest.fixture(
    scope="module",
    params=[pytest.param(2, id="two heads"), pytest.param(12, id="twelve heads")],
)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TrainingModel:
    fields = {
        "num_attention_heads": request.param,
        "num_hidden_layers": 3,
        "block_size": 64,
        "num_random_blocks": 3,
        "max_position_embeddings": 4096,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    folder = tmp_path_factory.mktemp("training")
    exported = ExportedModel(folder, "qa", fields, BUCKETS[request.param], "transformers-train", only="block_sparse")
    reference = exported.reference
    exported.model.train()
    state = np.random.get_state()
    trained = {length: reference.alone(exported.document(length)) for length in LENGTHS}
    # transformers seeds NumPy's global generator.
    np.random.set_state(state)
    exported.model.eval()
    evaluated = {length: reference.alone(exported.document(length)) for length in EVALUATED_LENGTHS[request.param]}
    return TrainingModel(exported, folder, trained, evaluated)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_document_alone_gets_the_logits_of_training_in_every_bucket_it_fits(
    model: TrainingModel, length: int
) -> None:
    buckets = model.exported.buckets("block_sparse", length)
    assert max(buckets) == 4096
    differences = {
        bucket: largest_difference(model.exported.served([length], bucket)[0], model.trained[length])
        for bucket in buckets
    }
    print(f"{length} tokens: {max(differences.values()):.3g}")
    assert max(differences.values()) <= TOLERANCE, differences


def test_documents_in_mixed_batches_get_the_logits_of_training(model: TrainingModel) -> None:
    differences = {}
    for bucket in model.exported.buckets("block_sparse"):
        lengths = [length for length in LENGTHS if length <= bucket]
        # Documents with tables of their own stand beside documents of the general plan.
        for batch in (lengths[::2], lengths[1::2]):
            for length, logits in zip(batch, model.exported.served(batch, bucket), strict=True):
                differences[bucket, length] = largest_difference(logits, model.trained[length])
    print(f"{max(differences.values()):.3g}")
    assert max(differences.values()) <= TOLERANCE, differences


def test_the_logits_are_spread_out_and_those_of_eval_would_miss(model: TrainingModel) -> None:
    assert min(logits.std() for logits in model.trained.values()) >= SMALLEST_SPREAD
    misses = {length: largest_difference(model.evaluated[length], model.trained[length]) for length in model.evaluated}
    print(f"the logits of eval() miss by {misses}")
    assert min(misses.values()) >= MISS, misses


def test_the_graph_holds_the_tables_of_each_layer_as_bytes_and_nothing_larger(model: TrainingModel) -> None:
    heads = model.exported.config.num_attention_heads
    folder, manifest = model.exported.folder, model.exported.manifest
    graph = onnx.load(folder / manifest.graph("block_sparse", "composed").file, load_external_data=False).graph
    tables = [tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.UINT8]
    # The general table and the listed one, for the longest document.
    assert [list(tensor.dims) for tensor in tables] == [[2, heads, 4096 // 64 - 2, 3]] * 3
    # None of them was folded into a larger type.
    integers = [list(tensor.dims) for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.INT64]
    assert not [dims for dims in integers if dims[-3:] == [heads, 4096 // 64 - 2, 3]]
