"""The parity that transformers cannot vouch for: no random blocks, and tables that differ by layer and head.

The reference is the dense mask of `dense_attention`, which the tests of the model hold against transformers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from model_export.patterns.registry import PATTERNS
from tests.model_export.dense_attention import Table, TablePattern, dense_logits, same_for_all
from tests.model_export.exported_models import ExportedModel, largest_difference

TOLERANCE = 1e-4
MISS = 100 * TOLERANCE

# As a seeded pattern would draw them: [layers, heads, rows, slots]; half of them point beyond the shorter bucket.
TABLES = np.random.default_rng(11).integers(0, 16, (2, 3, 14, 2)).tolist()


@dataclass(frozen=True)
class DenseCase:
    exported: ExportedModel
    tables: Sequence[Sequence[Table]]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((0, "transformers", [], (80, 160, 256)), id="no random blocks in the configuration"),
        pytest.param((2, "none", [], (144, 256)), id="the pattern none, although the configuration has two"),
        pytest.param((2, "tables", None, (144, 192, 256)), id="tables that differ by layer and head"),
    ],
)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DenseCase:
    random_blocks, pattern, slots, buckets = request.param
    fields = {"num_random_blocks": random_blocks, "max_position_embeddings": 256}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PATTERNS, "tables", TablePattern(TABLES))
        exported = ExportedModel(tmp_path_factory.mktemp("dense"), "qa", fields, buckets, pattern)
    return DenseCase(exported, TABLES if slots is None else same_for_all(exported.config, slots))


def test_each_document_gets_the_logits_of_its_dense_mask_in_every_bucket(case: DenseCase) -> None:
    exported = case.exported
    shortest = max(exported.buckets("full")) + 1
    differences = {}
    for bucket in exported.buckets("block_sparse"):
        lengths = sorted({shortest, shortest + 15, shortest + 16, bucket - 1, bucket})
        for length, mixed in zip(lengths, exported.served(lengths, bucket), strict=True):
            document = exported.document(length)
            expected = dense_logits(exported.model, document, case.tables)
            assert expected.std() >= 0.5
            differences[bucket, length, "mixed"] = largest_difference(mixed, expected)
            alone = exported.served([length], bucket)[0]
            differences[bucket, length, "alone"] = largest_difference(alone, expected)
            assert largest_difference(dense_logits(exported.model, document, None), expected) >= MISS
            if -(-length // exported.config.block_size) * exported.config.block_size < bucket:
                unanchored = dense_logits(exported.model, document, case.tables, padded_length=bucket)
                assert largest_difference(unanchored, expected) >= MISS
            # The pattern matters: with transformers' own, the logits would be others.
            first_block = same_for_all(exported.config, [0] * max(1, exported.config.num_random_blocks))
            assert largest_difference(dense_logits(exported.model, document, first_block), expected) >= MISS
    print(f"largest difference {max(differences.values()):.3g}")
    assert max(differences.values()) <= TOLERANCE, differences
