"""# tests/model_export/nn/test_attention.py: None"""

import pytest
import torch

from model_export.nn.attention import causal_bias, key_bias, masked_score

MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])


def test_a_key_counts_where_it_is_a_real_token() -> None:
    bias = key_bias(MASK, torch.float32)
    assert bias.shape == (2, 1, 1, 4)
    lowest = masked_score(torch.float32)
    assert bias[:, 0, 0].tolist() == [[0, 0, 0, 0], [0, 0, lowest, lowest]]


def test_a_causal_key_counts_where_it_is_real_and_not_after_the_query_and_padding_sees_the_first() -> None:
    counts = causal_bias(MASK, torch.float32) == 0
    assert counts.shape == (2, 1, 4, 4)
    assert counts[:, 0].int().tolist() == [
        [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]],
        [[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]],
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("bias", [key_bias, causal_bias])
def test_masked_scores_are_finite_and_get_no_weight(dtype: torch.dtype, bias: object) -> None:
    scores = torch.full((2, 1, 4, 4), 50.0, dtype=dtype) + bias(MASK, dtype)  # type: ignore[operator]
    weights = scores.softmax(dim=-1)
    assert torch.isfinite(weights).all()
    assert not weights[1, :, :, 2:].any()
