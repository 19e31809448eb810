import pytest

from benchmarks.gpu.kernels import Kernels, all_fused, parse_kernels

PRINTED = """\
2026-11-20 10:00:00 [W:onnxruntime] Operator=MultiHeadAttention SdpaKernel=MATH
bucket 704
Operator=MultiHeadAttention Node=encoder.layers.0 DataType=fp16 SdpaKernel=FLASH_ATTENTION
Operator=MultiHeadAttention Node=encoder.layers.1 DataType=fp16 SdpaKernel=FLASH_ATTENTION
bucket 4096
Operator=MultiHeadAttention DataType=fp16 SdpaKernel=CUDNN_FLASH_ATTENTION
a line about something else
Operator=MultiHeadAttention DataType=fp16 SdpaKernel=EFFICIENT_ATTENTION
bucket 512
"""


def test_kernels_are_counted_for_each_bucket() -> None:
    assert parse_kernels(PRINTED.splitlines()) == {
        704: {"FLASH_ATTENTION": 2},
        4096: {"CUDNN_FLASH_ATTENTION": 1, "EFFICIENT_ATTENTION": 1},
        512: {},
    }


@pytest.mark.parametrize(
    ("kernels", "fused"),
    [
        pytest.param({704: {"FLASH_ATTENTION": 2}, 4096: {"EFFICIENT_ATTENTION": 1}}, True, id="fused everywhere"),
        pytest.param({704: {"FLASH_ATTENTION": 2, "MATH": 1}}, False, id="one operator is not"),
        pytest.param({704: {"FLASH_ATTENTION": 2}, 4096: {}}, False, id="a bucket printed nothing"),
        pytest.param({704: {"SOMETHING_NEW": 2}}, False, id="a kernel that is not known to be fused"),
        pytest.param({}, False, id="nothing ran"),
    ],
)
def test_attention_is_fused_only_if_every_operator_is(kernels: Kernels, fused: bool) -> None:
    assert all_fused(kernels) is fused
