import pytest
import torch
from torch import nn

from model_export.nn.precision import WideProducts


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
