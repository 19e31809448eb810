"""The one operator of fused attention: as torch computes it, and as onnxruntime does."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from model_export.nn.fused_attention import key_length_attention

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
