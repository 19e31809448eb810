"""Attention by a table of blocks against dense attention with a mask, and which table each document gets."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_export.nn.block_sparse_attention import (
    BlockLayout,
    block_layout,
    block_sparse_attention,
    chosen_table,
    fixed_slots,
    table_constant,
)
from model_export.patterns.pattern import RandomBlocks
from model_export.patterns.registry import get_pattern
from tests.model_export.dense_attention import attended_counts, dense_attention
from tests.model_export.patterns.reference_tables import reference_table

BLOCK_SIZE = 4
HEADS = 2
HEAD_DIM = 5


def _keep(weights: torch.Tensor) -> torch.Tensor:
    return weights


def _mask(lengths: list[int], padded_length: int) -> torch.Tensor:
    return (torch.arange(padded_length) < torch.tensor(lengths)[:, None]).long()


def _layout(lengths: list[int], padded_length: int, tables: np.ndarray, copies: int = 0) -> BlockLayout:
    fixed = fixed_slots(_mask(lengths, padded_length), BLOCK_SIZE, torch.float64)
    return block_layout(fixed, torch.from_numpy(tables), copies)


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, lengths: list[int], table: np.ndarray, copies: int = 0
) -> torch.Tensor:
    layout = _layout(lengths, query.shape[2], table[None], copies)
    return block_sparse_attention(query * HEAD_DIM**-0.5, key, value, layout, _keep)


def _states(batch: int, length: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [2 * torch.randn(batch, HEADS, length, HEAD_DIM, generator=generator, dtype=torch.float64) for _ in range(3)]


def _expected(states: list[torch.Tensor], document: int, length: int, table: np.ndarray) -> torch.Tensor:
    blocks = -(-length // BLOCK_SIZE)
    heads = np.broadcast_to(table, (HEADS, *table.shape[1:]))
    counts = torch.from_numpy(np.stack([attended_counts(blocks, rows.tolist(), blocks - 1) for rows in heads]))
    query, key, value = (part[document, :, :length] for part in states)
    return dense_attention(query, key, value, counts, BLOCK_SIZE)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_table_attends_as_a_dense_mask_does(data: st.DataObject) -> None:
    blocks = data.draw(st.integers(3, 9), label="blocks of the bucket")
    slots = data.draw(st.integers(0, 3), label="random slots")
    table_heads = data.draw(st.sampled_from([1, HEADS]), label="heads of the table")
    # Blocks beyond the document and the bucket, the document's last one, the window and repeated ones are all drawn.
    cell = st.integers(0, blocks + 2)
    table = np.array(
        data.draw(st.lists(cell, min_size=(n := table_heads * (blocks - 2) * slots), max_size=n)), dtype=np.int64
    ).reshape(table_heads, blocks - 2, slots)
    shortest = 2 * BLOCK_SIZE + 1
    lengths = data.draw(st.lists(st.integers(shortest, blocks * BLOCK_SIZE), min_size=1, max_size=3), label="lengths")

    states = _states(len(lengths), blocks * BLOCK_SIZE)
    context = _attend(*states, lengths, table)

    assert torch.isfinite(context).all()
    for document, length in enumerate(lengths):
        expected = _expected(states, document, length, table)
        torch.testing.assert_close(context[document, :, :length], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("slots", "equivalent"),
    [
        pytest.param([9], [], id="a block beyond the document is dropped"),
        pytest.param([63], [], id="a block beyond the bucket is dropped"),
        pytest.param([5, 5], [5, 5], id="a repeated block counts twice"),
        pytest.param([0], [0], id="the first block counts once more"),
        pytest.param([6], [6], id="the document's last block counts once more"),
    ],
)
def test_special_indices_of_a_table(slots: list[int], equivalent: list[int]) -> None:
    rows, length = 8, 7 * BLOCK_SIZE - 1
    states = _states(1, (rows + 2) * BLOCK_SIZE)
    table = np.array([[slots] * rows], dtype=np.int64)
    wanted = np.array([[equivalent] * rows], dtype=np.int64).reshape(1, rows, len(equivalent))
    context = _attend(*states, [length], table)[0, :, :length]
    torch.testing.assert_close(context, _expected(states, 0, length, wanted), rtol=1e-9, atol=1e-9)
    if equivalent:
        without = _expected(states, 0, length, np.zeros((1, rows, 0), dtype=np.int64))
        assert (context - without).abs().max() > 1e-2


@pytest.mark.parametrize("copies", [1, 2, 4])
def test_copies_of_the_first_block_equal_a_table_of_zeros(copies: int) -> None:
    length = 6 * BLOCK_SIZE
    states = _states(1, length)
    empty = np.zeros((1, 4, 0), dtype=np.int64)
    zeros = np.zeros((1, 4, copies), dtype=np.int64)
    with_copies = _attend(*states, [length - 1], empty, copies)[0, :, : length - 1]
    torch.testing.assert_close(with_copies, _expected(states, 0, length - 1, zeros), rtol=1e-9, atol=1e-9)


def test_what_stands_in_the_padding_does_not_count() -> None:
    length, padded = 6 * BLOCK_SIZE + 1, 10 * BLOCK_SIZE
    states = _states(1, padded)
    table = np.full((1, 8, 2), 9, dtype=np.int64)
    before = _attend(*states, [length], table)[:, :, :length]
    for part in states:
        part[:, :, length:] = 1e4
    after = _attend(*states, [length], table)[:, :, :length]
    assert torch.equal(before, after)


def test_each_document_may_have_a_table_of_its_own() -> None:
    lengths = [8 * BLOCK_SIZE, 6 * BLOCK_SIZE - 1]
    states = _states(2, 8 * BLOCK_SIZE)
    tables = np.random.default_rng(3).integers(0, 8, (2, HEADS, 6, 2))
    layout = _layout(lengths, 8 * BLOCK_SIZE, tables)
    context = block_sparse_attention(states[0] * HEAD_DIM**-0.5, states[1], states[2], layout, _keep)
    for document, length in enumerate(lengths):
        expected = _expected(states, document, length, tables[document])
        torch.testing.assert_close(context[document, :, :length], expected, rtol=1e-9, atol=1e-9)


def test_gradients_reach_queries_keys_and_values_and_are_finite() -> None:
    length = 7 * BLOCK_SIZE
    states = [part.requires_grad_() for part in _states(2, length)]
    table = np.array([[[3, 9], [0, 1], [6, 6], [2, 5], [1, 1]]], dtype=np.int64) % 7
    context = _attend(*states, [length, 5 * BLOCK_SIZE - 1], table)
    context[0].sum().add(context[1, :, : 5 * BLOCK_SIZE - 1].square().sum()).backward()
    for part in states:
        assert part.grad is not None
        assert torch.isfinite(part.grad).all()
        assert (part.grad[0] != 0).any()
    # Padding of the second document gets no gradient.
    assert not states[1].grad[1, :, 5 * BLOCK_SIZE - 1 :].any()
    assert not states[2].grad[1, :, 5 * BLOCK_SIZE - 1 :].any()


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
