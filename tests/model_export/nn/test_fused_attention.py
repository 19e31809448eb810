"""The fused layouts against a dense mask written by hand, in float64, as the composed ones are tested."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime
from model_export.nn.fused_attention import FusedAttention, key_length_attention
from tests.model_export.dense_attention import attended_counts, dense_attention

BLOCK_SIZE = 4
HEADS = 2
HEAD_DIM = 5


def _keep(weights: torch.Tensor) -> torch.Tensor:
    return weights


def _mask(lengths: list[int], padded_length: int) -> torch.Tensor:
    return (torch.arange(padded_length) < torch.tensor(lengths)[:, None]).long()


def _states(batch: int, length: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    width = HEADS * HEAD_DIM
    return [2 * torch.randn(batch, length, width, generator=generator, dtype=torch.float64) for _ in range(3)]


def _attend(states: list[torch.Tensor], lengths: list[int], tables: np.ndarray, copies: int = 0) -> torch.Tensor:
    """Attend with tables `[documents or 1, heads or 1, rows, slots]`."""
    slots = FusedAttention().block_sparse(_mask(lengths, states[0].shape[1]), BLOCK_SIZE, torch.float64)
    layout = slots.layout(torch.from_numpy(tables), copies)
    query, key, value = states
    return layout.attend(query, key, value, HEADS, _keep)


def _expected(states: list[torch.Tensor], document: int, length: int, table: np.ndarray) -> torch.Tensor:
    blocks = -(-length // BLOCK_SIZE)
    heads = np.broadcast_to(table, (HEADS, *table.shape[1:]))
    counts = torch.from_numpy(np.stack([attended_counts(blocks, rows.tolist(), blocks - 1) for rows in heads]))
    query, key, value = (part[document, :length].unflatten(-1, (HEADS, HEAD_DIM)).transpose(0, 1) for part in states)
    return dense_attention(query, key, value, counts, BLOCK_SIZE).transpose(0, 1).flatten(1)


@settings(max_examples=60, deadline=None, derandomize=True)
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
    context = _attend(states, lengths, table[None])

    assert torch.isfinite(context).all()
    for document, length in enumerate(lengths):
        expected = _expected(states, document, length, table)
        torch.testing.assert_close(context[document, :length], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("slots", "equivalent"),
    [
        pytest.param([9], [], id="a block beyond the document is dropped"),
        pytest.param([63], [], id="a block beyond the bucket is dropped"),
        pytest.param([5, 5], [5, 5], id="a repeated block counts twice"),
        pytest.param([0], [0], id="the first block counts once more"),
        pytest.param([6], [6], id="the document's last block counts once more"),
        pytest.param([6, 6, 6], [6, 6, 6], id="the document's last block counts three times more"),
        pytest.param([6, 9, 0], [6, 0], id="a dropped block stands between others"),
    ],
)
@pytest.mark.parametrize("tokens", [1, 3, 4], ids=lambda tokens: f"{tokens} tokens in the last block")
def test_special_indices_of_a_table(slots: list[int], equivalent: list[int], tokens: int) -> None:
    rows, length = 8, 6 * BLOCK_SIZE + tokens
    states = _states(1, (rows + 2) * BLOCK_SIZE)
    table = np.array([[[slots] * rows]], dtype=np.int64)
    wanted = np.array([[equivalent] * rows], dtype=np.int64).reshape(1, rows, len(equivalent))
    context = _attend(states, [length], table)[0, :length]
    torch.testing.assert_close(context, _expected(states, 0, length, wanted), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("copies", [1, 2, 4])
def test_copies_of_the_first_block_equal_a_table_of_zeros(copies: int) -> None:
    length = 6 * BLOCK_SIZE - 1
    states = _states(1, 6 * BLOCK_SIZE)
    with_copies = _attend(states, [length], np.empty((1, 1, 4, 0), dtype=np.int64), copies)[0, :length]
    zeros = np.zeros((1, 4, copies), dtype=np.int64)
    torch.testing.assert_close(with_copies, _expected(states, 0, length, zeros), rtol=1e-9, atol=1e-9)


def test_each_document_may_have_a_table_of_its_own() -> None:
    lengths = [8 * BLOCK_SIZE, 6 * BLOCK_SIZE - 1]
    states = _states(2, 8 * BLOCK_SIZE)
    tables = np.random.default_rng(3).integers(0, 8, (2, HEADS, 6, 2))
    context = _attend(states, lengths, tables)
    for document, length in enumerate(lengths):
        expected = _expected(states, document, length, tables[document])
        torch.testing.assert_close(context[document, :length], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("slots", [0, 2], ids=["without random blocks", "with random blocks"])
def test_what_stands_in_the_padding_does_not_count_at_all(slots: int) -> None:
    length, padded = 6 * BLOCK_SIZE + 1, 10 * BLOCK_SIZE
    states = _states(1, padded)
    table = np.full((1, HEADS, 8, slots), 9, dtype=np.int64)
    before = _attend(states, [length], table)[:, :length]
    for part in states:
        part[:, length:] = 1e4
    after = _attend(states, [length], table)[:, :length]
    assert torch.equal(before, after)


@pytest.mark.parametrize("causal", [False, True], ids=["every token", "earlier tokens"])
def test_a_full_layout_attends_to_every_token_that_it_should(causal: bool) -> None:
    lengths = [12, 7]
    states = _states(2, 12)
    layout = FusedAttention().full(_mask(lengths, 12), torch.float64, causal=causal)
    query, key, value = states
    context = layout.attend(query, key, value, HEADS, _keep)
    assert torch.isfinite(context).all()
    for document, length in enumerate(lengths):
        parts = [part[document, :length].unflatten(-1, (HEADS, HEAD_DIM)).transpose(0, 1) for part in states]
        scores = parts[0] @ parts[1].transpose(-1, -2) / HEAD_DIM**0.5
        if causal:
            scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), -torch.inf)
        expected = (scores.softmax(dim=-1) @ parts[2]).transpose(0, 1).flatten(1)
        torch.testing.assert_close(context[document, :length], expected, rtol=1e-9, atol=1e-9)


SEQUENCES, QUERIES, KEYS, HEADS, WIDTH = 5, 6, 9, 2, 16


def _inputs(sequences: int, dtype: torch.dtype = torch.float32, queries: int = QUERIES) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(sequences, length, WIDTH, generator=generator).to(dtype) for length in (queries, KEYS, KEYS)
    )
    return query, key, value, 1 + torch.arange(sequences, dtype=torch.int32) % KEYS


def _by_hand(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, key_lengths: torch.Tensor) -> torch.Tensor:
    """One sequence and one head after the other, cut to the keys that count."""
    contexts = torch.empty(query.shape, dtype=torch.float64)
    for sequence, length in enumerate(key_lengths.tolist()):
        for head in range(HEADS):
            part = slice(head * WIDTH // HEADS, (head + 1) * WIDTH // HEADS)
            states = [tensor[sequence, :, part].double() for tensor in (query, key, value)]
            scores = states[0] @ states[1][:length].T / (WIDTH // HEADS) ** 0.5
            contexts[sequence, :, part] = scores.softmax(dim=-1) @ states[2][:length]
    return contexts


@pytest.mark.parametrize("sequences", [1, SEQUENCES, 300], ids=lambda number: f"{number} sequences")
def test_only_the_first_keys_count(sequences: int) -> None:
    inputs = _inputs(sequences)
    context = key_length_attention(*inputs, HEADS)
    assert torch.allclose(context.double(), _by_hand(*inputs), atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [pytest.param(torch.float16, 2e-3, id="fp16"), pytest.param(torch.bfloat16, 2e-2, id="bf16")],
)
def test_half_precision_goes_in_and_out_and_sums_are_not_rounded(dtype: torch.dtype, tolerance: float) -> None:
    inputs = _inputs(SEQUENCES, dtype)
    context = key_length_attention(*inputs, HEADS)
    assert context.dtype == dtype
    assert torch.allclose(context.double(), _by_hand(*inputs), atol=tolerance)


class _Operator(nn.Module):
    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.causal = causal

    def forward(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, lengths: torch.Tensor
    ) -> torch.Tensor:
        return key_length_attention(query, key, value, lengths, HEADS, causal=self.causal)


@pytest.mark.parametrize("causal", [False, True], ids=["every token", "earlier tokens"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_a_graph_holds_one_operator_that_computes_the_same(causal: bool, tmp_path: Path) -> None:
    sequences = torch.export.Dim("sequences")
    names = ("query", "key", "value", "lengths")
    queries = KEYS if causal else QUERIES
    inputs = _inputs(SEQUENCES, queries=queries)
    program = torch.onnx.export(
        _Operator(causal).eval(),
        inputs,
        dynamo=True,
        verbose=False,
        input_names=names,
        dynamic_shapes={name: {0: sequences} for name in names},
    )
    assert program is not None
    assert [(node.domain, node.op_type) for node in program.model.graph] == [("com.microsoft", "MultiHeadAttention")]
    program.save(tmp_path / "graph.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "graph.onnx", providers=["CPUExecutionProvider"])
    more = _inputs(2 * SEQUENCES, queries=queries)
    (context,) = session.run(None, {name: tensor.numpy() for name, tensor in zip(names, more, strict=True)})
    expected = key_length_attention(*more, HEADS, causal=causal).numpy()
    assert np.allclose(context, expected, atol=1e-5)
