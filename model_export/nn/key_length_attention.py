"""Softmax attention to the first keys of each sequence: the one operator that the fused kernel is made of.

In a graph it is onnxruntime's `com.microsoft.MultiHeadAttention` with `key_padding_mask` of shape `[sequences]`, which
that operator reads as key lengths. Of all forms of a mask it is the only one with which CUDA keeps to a fused kernel
(cuDNN's), and the CPU takes it as well. Outside a graph the same is computed here from single operators, which makes
the model its own reference.
"""

import math

import torch

from model_export.nn.masking import masked_score

# Sequences that are computed at a time, so that memory does not grow with the batch.
_SEQUENCES = 128


def key_length_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    key_lengths: torch.Tensor,
    heads: int,
    *,
    causal: bool = False,
) -> torch.Tensor:
    """Attend to the first `key_lengths` keys.

    Args:
        query: Not scaled, `[sequences, queries, width]`.
        key: `[sequences, keys, width]`.
        value: `[sequences, keys, width]`.
        key_lengths: int32 `[sequences]`, each at least 1. What stands behind does not count at all.
        heads: Among which the width is divided.
        causal: Each query attends to the keys up to its own place only; there are as many queries as keys.

    Returns:
        `[sequences, queries, width]`.
    """
    if torch.onnx.is_in_onnx_export():
        return _operator(query, key, value, key_lengths, heads, causal)
    return torch.cat(
        [
            _attend(
                query[start : start + _SEQUENCES],
                key[start : start + _SEQUENCES],
                value[start : start + _SEQUENCES],
                key_lengths[start : start + _SEQUENCES],
                heads,
                causal,
            )
            for start in range(0, len(query), _SEQUENCES)
        ]
    )


def _operator(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, key_lengths: torch.Tensor, heads: int, causal: bool
) -> torch.Tensor:
    """Stand for the operator in the graph that is being traced."""
    context: torch.Tensor = torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention",
        (query, key, value, None, key_lengths),
        {"num_heads": heads, "unidirectional": int(causal), "mask_filter_value": masked_score(query.dtype)},
        dtype=query.dtype,
        shape=query.shape,
        version=1,
    )
    return context


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, key_lengths: torch.Tensor, heads: int, causal: bool
) -> torch.Tensor:
    """Attend as fused kernels do: half-precision inputs and outputs, scores and sums in float32."""

    def heads_apart(states: torch.Tensor) -> torch.Tensor:
        # [sequences, length, width] -> [sequences, heads, length, head_dim]
        wide = states.float() if states.dtype.itemsize == 2 else states
        return wide.view(*wide.shape[:2], heads, -1).transpose(1, 2)

    queries, keys, values = heads_apart(query), heads_apart(key), heads_apart(value)
    scores = queries @ keys.transpose(-1, -2) * (1 / math.sqrt(queries.shape[-1]))
    place = torch.arange(keys.shape[2], device=keys.device)
    scores = scores.masked_fill(place >= key_lengths[:, None, None, None], -torch.inf)
    if causal:
        scores = scores.masked_fill(place > place[:, None], -torch.inf)
    # Kernels multiply the weights in the type of the values.
    weights = scores.softmax(dim=-1).to(value.dtype).to(values.dtype)
    return (weights @ values).transpose(1, 2).reshape(query.shape).to(query.dtype)
