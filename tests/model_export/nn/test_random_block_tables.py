from pathlib import Path

import numpy as np
import pytest
import torch

from model_export.nn.block_sparse_attention import chosen_table, table_constant
from model_export.patterns.pattern import RandomBlocks
from model_export.patterns.registry import get_pattern
from tests.model_export.patterns.reference_tables import reference_table

ROWS = 10
GENERAL = np.random.default_rng(0).integers(0, 12, (2, ROWS, 3))
LISTED = np.random.default_rng(1).integers(0, 12, (2, ROWS, 3))
GOLDEN = dict(np.load(Path(__file__).parents[2] / "fixtures" / "golden_random_blocks.npz"))
TWO_TABLES = RandomBlocks(GENERAL, listed_table=LISTED, listed_block_counts=(9, 12))


def test_each_document_of_a_batch_gets_the_table_of_its_own_number_of_blocks() -> None:
    chosen = chosen_table(TWO_TABLES, torch.tensor([12, 8, 9, 10]), 12)
    assert chosen.dtype == torch.int64
    np.testing.assert_array_equal(chosen.numpy(), np.stack([LISTED, GENERAL, LISTED, GENERAL]))


def test_a_batch_has_the_rows_of_its_own_number_of_blocks() -> None:
    chosen = chosen_table(TWO_TABLES, torch.tensor([8, 9]), 10)
    np.testing.assert_array_equal(chosen.numpy(), np.stack([GENERAL[:, :8], LISTED[:, :8]]))


def test_one_table_is_that_of_every_document_of_a_batch() -> None:
    chosen = chosen_table(RandomBlocks(GENERAL), torch.tensor([8, 12, 9]), 12)
    np.testing.assert_array_equal(chosen.numpy(), GENERAL[None])


def test_a_pattern_without_slots_has_one_table_for_the_whole_batch() -> None:
    empty = RandomBlocks(np.zeros((1, ROWS, 0), dtype=np.int64), first_block_copies=3)
    assert chosen_table(empty, torch.tensor([8, 12, 9]), 12).shape == (1, 1, ROWS, 0)


@pytest.mark.parametrize(("largest", "kind"), [(255, np.uint8), (256, np.int16), (32767, np.int16), (32768, np.int64)])
def test_tables_are_stored_in_the_smallest_type_that_holds_every_block(largest: int, kind: type) -> None:
    for blocks in (RandomBlocks(np.array([[[0, largest]]])), _two_tables(largest)):
        constant = table_constant(blocks)
        assert constant.dtype == kind
        assert constant.max() == largest
    chosen = chosen_table(_two_tables(largest), torch.tensor([3, 4]), 3)
    assert chosen.tolist() == [[[[1, 2]]], [[[0, largest]]]]


def _two_tables(largest: int) -> RandomBlocks:
    """General [0, largest], and [1, 2] for three blocks."""
    return RandomBlocks(np.array([[[0, largest]]]), listed_table=np.array([[[1, 2]]]), listed_block_counts=(3,))


@pytest.mark.parametrize("pattern", ["transformers-train", "google", "model-garden"])
@pytest.mark.parametrize("heads", [1, 3])
def test_the_tables_of_seeded_patterns_are_exact_at_every_number_of_blocks(pattern: str, heads: int) -> None:
    """Documents of every number of blocks, alone and in one batch with longer ones, in layer 2 of a base-shaped model.

    The expectation is what transformers' own functions draw for that number of blocks.
    """
    fields = {"heads": heads, "slots": 3, "block_size": 64, "max_position_embeddings": 4096}
    drawn = get_pattern(pattern).random_blocks(2, **fields)
    counts = range(12, 65)
    in_one_batch = chosen_table(drawn, torch.tensor(counts), 64)
    for number, blocks in enumerate(counts):
        expected = reference_table(pattern, 2, blocks=blocks, **fields)
        alone = chosen_table(drawn, torch.tensor([blocks]), blocks)
        np.testing.assert_array_equal(alone[0].numpy(), expected)
        own = in_one_batch[min(number, len(in_one_batch) - 1)]
        np.testing.assert_array_equal(own[:, : blocks - 2].numpy(), expected)


@pytest.mark.parametrize("key", GOLDEN)
def test_a_document_gets_the_table_that_the_original_code_drew(key: str) -> None:
    pattern, seed, heads, length = key.split("/")
    layer, blocks = int(seed.removeprefix("seed")), int(length.removeprefix("len")) // 64
    drawn = get_pattern(pattern).random_blocks(
        layer, heads=int(heads.removeprefix("heads")), slots=3, block_size=64, max_position_embeddings=4096
    )
    chosen = chosen_table(drawn, torch.tensor([blocks]), blocks)
    np.testing.assert_array_equal(chosen[0].numpy(), GOLDEN[key])


class _Chosen(torch.nn.Module):
    def __init__(self, random_blocks: RandomBlocks) -> None:
        super().__init__()
        self.random_blocks = random_blocks

    def forward(self, document_blocks: torch.Tensor, length_of_batch: torch.Tensor) -> torch.Tensor:
        return chosen_table(self.random_blocks, document_blocks, length_of_batch.shape[0] - 5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    ("random_blocks", "tables"),
    [
        pytest.param(TWO_TABLES, 2, id="two tables"),
        pytest.param(RandomBlocks(GENERAL), 1, id="one table"),
    ],
)
def test_the_exporter_keeps_the_tables_as_bytes_for_any_length(random_blocks: RandomBlocks, tables: int) -> None:
    program = torch.onnx.export(
        _Chosen(random_blocks),
        (torch.tensor([8, 9]), torch.zeros(16)),
        dynamo=True,
        dynamic_shapes={
            "document_blocks": {0: "batch"},
            "length_of_batch": {0: torch.export.Dim("length", min=13, max=17)},
        },
        opset_version=20,
        verbose=False,
    )
    assert program is not None
    constants = [value.const_value for value in program.model.graph.initializers.values()]
    large = [(tensor.dtype.name, tensor.nbytes) for tensor in constants if tensor is not None and tensor.size > 8]
    assert large == [("UINT8", tables * GENERAL.size)]
