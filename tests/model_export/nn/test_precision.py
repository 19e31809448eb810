"""What half precision halves, what stays in float32, and that the outputs stay close."""

import numpy as np
import pytest
import torch
from torch import nn

from model_export.config import BigBirdConfig
from model_export.nn.attention_kernels import with_kernel
from model_export.nn.heads import HEADS
from model_export.nn.model import BigBird, build_model
from model_export.nn.precision import WideProducts, halved, rounded
from model_export.patterns.registry import get_pattern


def _model(task: str) -> BigBird:
    torch.manual_seed(0)
    config = BigBirdConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=160,
        block_size=16,
        num_random_blocks=1,
        is_decoder=task == "generate",
    )
    return with_kernel(build_model(config, task, get_pattern("google")).eval(), "fused")


def _outputs(model: BigBird, task: str) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 40, (2, 160), generator=generator)
    mask = (torch.arange(160) < torch.tensor([[160], [133]])).long()
    positions = (torch.tensor([[3, 130], [0, 132]]),) if task in ("fill-mask", "generate") else ()
    with torch.inference_mode():
        outputs = model(ids, mask, torch.zeros_like(ids), *positions)
    return outputs if isinstance(outputs, tuple) else (outputs,)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
@pytest.mark.parametrize("task", HEADS)
def test_outputs_are_float32_and_close(task: str, dtype: torch.dtype) -> None:
    model = _model(task)
    for half, whole in zip(_outputs(halved(model, dtype), task), _outputs(model, task), strict=True):
        assert half.dtype == torch.float32
        assert not torch.equal(half, whole)
        assert (half - whole).abs().max() <= {torch.float16: 0.02, torch.bfloat16: 0.15}[dtype] * whole.std()


@pytest.mark.parametrize("task", ["qa", "classify", "fill-mask"])
def test_tables_and_products_are_halved_and_norms_and_heads_are_not(task: str) -> None:
    half = halved(_model(task), torch.float16)
    kinds = {name: parameter.dtype for name, parameter in half.named_parameters()}
    for name, dtype in kinds.items():
        in_layer = name.startswith("encoder.") or "feed_forward" in name
        is_halved = ".norm." not in name and (in_layer or name.startswith("embeddings."))
        assert dtype == (torch.float16 if is_halved else torch.float32), name
    assert set(kinds.values()) == {torch.float16, torch.float32}


def test_the_model_itself_stays_as_it_is() -> None:
    model = _model("qa")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    halved(model, torch.float16)
    rounded(model, torch.float16)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_rounded_model_holds_the_halved_weights_in_float32() -> None:
    model = _model("qa")
    half = halved(model, torch.bfloat16).state_dict()
    for name, tensor in rounded(model, torch.bfloat16).state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, half[name].float()), name


def test_another_kernel_shares_the_weights_and_leaves_the_model_its_own() -> None:
    model = _model("qa")
    composed = with_kernel(model, "composed")
    assert all(own is other for own, other in zip(model.parameters(), composed.parameters(), strict=True))
    assert type(composed.encoder.kernel) is not type(model.encoder.kernel)
    for ours, theirs in zip(_outputs(model, "qa"), _outputs(composed, "qa"), strict=True):
        # Padding is a copy of the first token in one of them and something finite in the other.
        assert np.allclose(ours[0], theirs[0], atol=1e-5)
        assert np.allclose(ours[1, :133], theirs[1, :133], atol=1e-5)


@pytest.mark.parametrize("bias", [True, False], ids=["with bias", "without bias"])
def test_an_fp16_product_is_summed_in_float32_and_rounded_once(bias: bool) -> None:
    torch.manual_seed(0)
    linear, x = nn.Linear(300, 7, bias=bias).half(), torch.randn(5, 300).half()
    with torch.inference_mode(), WideProducts():
        found = linear(x)
        exact = linear.double()(x.double())
    assert found.dtype == torch.float16
    # Half a step of fp16 at the size of each result.
    assert ((found.double() - exact).abs() <= exact.abs() * 2.0**-11 + 1e-6).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=["fp32", "bf16", "fp64"])
def test_other_products_stay_as_they_are(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    linear, x = nn.Linear(30, 7).to(dtype), torch.randn(5, 30).to(dtype)
    with torch.inference_mode():
        expected = linear(x)
        with WideProducts():
            assert torch.equal(linear(x), expected)
