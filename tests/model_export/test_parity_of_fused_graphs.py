"""Graphs with the fused kernel give the numbers of transformers, and of tables of other worlds, on the CPU too.

The composed graphs are compared at more lengths (`test_parity` and its neighbours), and show there what a mistake would
cost; here stand the lengths at which a row's padding, dropped slots and repeated blocks differ.
"""

import numpy as np
import onnx
import pytest

from model_export.patterns.registry import PATTERNS
from tests.model_export.dense_attention import Table, TablePattern, dense_logits
from tests.model_export.exported_models import ExportedModel, largest_difference
from tests.model_export.patterns.reference_tables import reference_table

TOLERANCE = 1e-4
SMALLEST_SPREAD = 0.5

FULL_LENGTHS = (1, 2, 63, 64, 65, 127, 128, 703, 704)
SPARSE_LENGTHS = (705, 767, 768, 769, 1000, 1023, 1024, 1025, 1984, 1985, 2047, 2048)


@pytest.fixture(scope="module")
def base_shaped(tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    """The base configuration's blocks and slots, with half its positions, and a small hidden size."""
    fields = {"block_size": 64, "num_random_blocks": 3, "max_position_embeddings": 2048}
    folder = tmp_path_factory.mktemp("base_shaped")
    return ExportedModel(folder, "qa", fields, (128, 704, 1024, 2048), kernel="fused")


@pytest.mark.parametrize("length", FULL_LENGTHS + SPARSE_LENGTHS)
def test_a_document_gets_its_own_logits_in_every_bucket_of_its_kind(base_shaped: ExportedModel, length: int) -> None:
    buckets = base_shaped.buckets(base_shaped.attention(length), length)
    assert buckets
    expected = base_shaped.alone(length)
    differences = {bucket: largest_difference(base_shaped.served([length], bucket)[0], expected) for bucket in buckets}
    print(f"{length} tokens: {max(differences.values()):.3g} at a standard deviation of {expected.std():.3g}")
    assert max(differences.values()) <= TOLERANCE, differences


@pytest.mark.parametrize("bucket", [128, 704, 1024, 2048])
def test_a_document_gets_its_own_logits_in_a_batch_of_other_lengths(base_shaped: ExportedModel, bucket: int) -> None:
    lengths = [n for n in (FULL_LENGTHS if bucket <= 704 else SPARSE_LENGTHS) if n <= bucket][::-1]
    differences = {
        length: largest_difference(logits, base_shaped.alone(length))
        for length, logits in zip(lengths, base_shaped.served(lengths, bucket), strict=True)
    }
    assert len(differences) >= 4
    assert max(differences.values()) <= TOLERANCE, differences


def test_every_attention_is_one_operator_with_key_lengths(base_shaped: ExportedModel) -> None:
    manifest = base_shaped.manifest
    assert (manifest.precision, manifest.attention_kernel, manifest.max_batch_items) == ("fp32", "fused", None)
    for bucket in manifest.buckets:
        onnx.checker.check_model(base_shaped.folder / bucket.file)
        model = onnx.load(base_shaped.folder / bucket.file, load_external_data=False)
        fused = [node for node in model.graph.node if node.op_type == "MultiHeadAttention"]
        # Two layers; block-sparse ones have the global rows apart.
        assert len(fused) == (2 if bucket.attention == "full" else 4)
        assert {node.domain for node in fused} == {"com.microsoft"}
        # query, key, value, no bias, key lengths
        assert all(len(node.input) == 5 and not node.input[3] and node.input[4] for node in fused)
        assert {node.domain for node in model.graph.node} == {"", "com.microsoft"}
        assert "Softmax" not in {node.op_type for node in model.graph.node}


# What else decides how keys are laid out; blocks of 16.
VARIANTS: dict[str, tuple[str, dict[str, object], tuple[int, ...]]] = {
    "one head and one random block": ("ner", {"num_attention_heads": 1, "num_labels": 5}, (112, 160)),
    "no random blocks": ("qa", {"num_random_blocks": 0}, (80, 160)),
    "four copies of the first block, no bias in query, key and value": (
        "classify",
        {"num_random_blocks": 4, "use_bias": False, "num_labels": 3, "max_position_embeddings": 320},
        (208, 320),
    ),
    "full attention by configuration, with a length of no whole blocks": (
        "ner",
        {"attention_type": "original_full", "max_position_embeddings": 150, "num_labels": 4},
        (64, 150),
    ),
}


@pytest.mark.parametrize(("task", "fields", "buckets"), VARIANTS.values(), ids=VARIANTS.keys())
def test_each_configuration_gives_each_document_its_own_logits(
    task: str, fields: dict[str, object], buckets: tuple[int, ...], tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = ExportedModel(tmp_path_factory.mktemp("variant"), task, fields, buckets, kernel="fused")
    without_random = model.config.num_random_blocks == 0
    differences = {}
    for bucket in model.sessions:
        sparse = model.attention(bucket) == "block_sparse"
        shortest = (5 + 2 * model.config.num_random_blocks) * 16 + 1 if sparse else 1
        lengths = sorted({shortest, shortest + 15, bucket - 16, bucket - 15, bucket - 1, bucket})
        lengths = [length for length in lengths if length >= shortest]
        for length, logits in zip(lengths, model.served(lengths, bucket), strict=True):
            # transformers fails without random blocks, so that the dense mask is the reference there.
            if without_random and sparse:
                nothing: list[list[Table]] = [[[[]] * 14] * model.config.num_attention_heads] * 2
                expected = dense_logits(model.model, model.document(length), nothing)
            else:
                expected = model.alone(length)
            differences[bucket, length] = largest_difference(logits, expected)
    print(f"{max(differences.values()):.3g}")
    assert max(differences.values()) <= TOLERANCE, differences


# Half of the indices point beyond the shorter bucket, some at a document's last block: once, twice, partly filled.
TABLES = np.random.default_rng(11).integers(0, 16, (2, 3, 14, 2)).tolist()


def test_tables_that_differ_by_layer_and_head_are_kept_apart(tmp_path_factory: pytest.TempPathFactory) -> None:
    fields = {"num_random_blocks": 2, "max_position_embeddings": 256}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PATTERNS, "tables", TablePattern(TABLES))
        model = ExportedModel(
            tmp_path_factory.mktemp("tables"), "qa", fields, (144, 192, 256), "tables", kernel="fused"
        )
    differences, repeated = {}, 0
    for bucket in (192, 256):
        lengths = sorted({145, 160, 161, 170, bucket - 1, bucket})
        for length, logits in zip(lengths, model.served(lengths, bucket), strict=True):
            last = -(-length // 16) - 1
            repeated += length % 16 > 0 and any(
                row.count(last) for layer in TABLES for head in layer for row in head[: last - 1]
            )
            expected = dense_logits(model.model, model.document(length), TABLES)
            assert expected.std() >= SMALLEST_SPREAD
            differences[bucket, length] = largest_difference(logits, expected)
    assert repeated, "no partly filled last block is repeated"
    print(f"{max(differences.values()):.3g}")
    assert max(differences.values()) <= TOLERANCE, differences


# Blocks of 32: 1024 tokens are a listed length, 1300 and 1500 are not, and 352 tokens are the edge of full attention.
SEEDED_LENGTHS = (900, 1000, 1024, 1025, 1300, 1500, 1536)


@pytest.mark.parametrize("pattern", ["transformers-train", "google", "model-garden"])
def test_seeded_tables_are_those_of_each_documents_own_length(
    pattern: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fields = {"block_size": 32, "num_random_blocks": 3, "max_position_embeddings": 1536, "num_attention_heads": 4}
    model = ExportedModel(tmp_path_factory.mktemp("seeded"), "qa", fields, (352, 1536), pattern, kernel="fused")
    differences = {}
    for length, logits in zip(SEEDED_LENGTHS, model.served(SEEDED_LENGTHS, 1536), strict=True):
        tables = [
            reference_table(
                pattern,
                layer,
                blocks=-(-length // 32),
                heads=4,
                slots=3,
                block_size=32,
                max_position_embeddings=1536,
            ).tolist()
            for layer in range(2)
        ]
        expected = dense_logits(model.model, model.document(length), tables)
        assert expected.std() >= SMALLEST_SPREAD
        differences[length] = largest_difference(logits, expected)
    print(f"{pattern}: {max(differences.values()):.3g}")
    assert max(differences.values()) <= TOLERANCE, differences
