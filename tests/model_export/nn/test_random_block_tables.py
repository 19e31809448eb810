import numpy as np
import pytest
import torch

from model_export.nn.random_block_tables import chosen_table
from model_export.patterns.pattern import RandomBlocks

ROWS = 10
GENERAL = np.random.default_rng(0).integers(0, 12, (2, ROWS, 3))
LISTED = np.random.default_rng(1).integers(0, 12, (2, ROWS, 3))
TWO_TABLES = RandomBlocks(GENERAL, listed_table=LISTED, listed_block_counts=(9, 12))


def test_each_document_of_a_batch_gets_the_table_of_its_own_number_of_blocks() -> None:
    chosen = chosen_table(TWO_TABLES, torch.tensor([12, 8, 9, 10]), range(8, 13))
    assert chosen.dtype == torch.int64
    np.testing.assert_array_equal(chosen.numpy(), np.stack([LISTED, GENERAL, LISTED, GENERAL]))


def test_a_bucket_has_the_rows_of_its_own_number_of_blocks() -> None:
    chosen = chosen_table(TWO_TABLES, torch.tensor([8, 9]), range(8, 11))
    np.testing.assert_array_equal(chosen.numpy(), np.stack([GENERAL[:, :8], LISTED[:, :8]]))


@pytest.mark.parametrize(
    ("possible", "expected"),
    [
        pytest.param(range(10, 12), GENERAL[:, :9], id="no document of a listed number of blocks fits"),
        pytest.param(range(12, 13), LISTED, id="only documents of a listed number of blocks fit"),
    ],
)
def test_a_table_that_no_document_of_the_bucket_uses_is_left_out(possible: range, expected: np.ndarray) -> None:
    seen = []
    original = torch.from_numpy
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "from_numpy", lambda array: seen.append(array) or original(array))
        chosen = chosen_table(TWO_TABLES, torch.tensor([possible[-1]]), possible)
    np.testing.assert_array_equal(chosen.numpy(), expected[None])
    assert [array.shape[0] for array in seen] == [1]


def test_a_pattern_without_slots_has_one_table_for_the_whole_batch() -> None:
    empty = RandomBlocks(np.zeros((1, ROWS, 0), dtype=np.int64), first_block_copies=3)
    assert chosen_table(empty, torch.tensor([8, 12, 9]), range(8, 13)).shape == (1, 1, ROWS, 0)


@pytest.mark.parametrize(
    ("largest", "kind"), [(255, torch.uint8), (256, torch.int16), (32767, torch.int16), (32768, torch.int64)]
)
def test_tables_are_stored_in_the_smallest_type_that_holds_every_block(largest: int, kind: torch.dtype) -> None:
    table = np.array([[[0, largest]]])
    seen = []
    original = torch.Tensor.index_select
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            torch.Tensor, "index_select", lambda self, *rest: seen.append(self.dtype) or original(self, *rest)
        )
        chosen = chosen_table(RandomBlocks(table), torch.tensor([3]), range(3, 4))
    assert seen == [kind]
    assert chosen.flatten().tolist() == [0, largest]


class _Chosen(torch.nn.Module):
    def __init__(self, random_blocks: RandomBlocks) -> None:
        super().__init__()
        self.random_blocks = random_blocks

    def forward(self, document_blocks: torch.Tensor) -> torch.Tensor:
        return chosen_table(self.random_blocks, document_blocks, range(8, 13))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    ("random_blocks", "tables"),
    [
        pytest.param(TWO_TABLES, 2, id="two tables"),
        pytest.param(RandomBlocks(GENERAL), 1, id="one table"),
    ],
)
def test_the_exporter_keeps_the_tables_as_bytes(random_blocks: RandomBlocks, tables: int) -> None:
    program = torch.onnx.export(
        _Chosen(random_blocks),
        (torch.tensor([8, 9]),),
        dynamo=True,
        dynamic_shapes={"document_blocks": {0: "batch"}},
        opset_version=20,
        verbose=False,
    )
    assert program is not None
    constants = [value.const_value for value in program.model.graph.initializers.values()]
    large = [(tensor.dtype.name, tensor.nbytes) for tensor in constants if tensor is not None and tensor.size > 8]
    assert large == [("UINT8", tables * GENERAL.size)]
