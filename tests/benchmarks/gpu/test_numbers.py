import pytest

from benchmarks.gpu.numbers import parse_kernels

pytestmark = pytest.mark.slow

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
