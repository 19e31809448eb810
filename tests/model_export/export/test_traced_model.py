import pytest

from model_export.errors import ExportError
from model_export.export.traced_model import attention_kernel
from service.bundle import AttentionKernelName, Precision


@pytest.mark.parametrize(
    ("precision", "asked", "kernel"),
    [
        ("fp32", None, "composed"),
        ("fp32", "composed", "composed"),
        ("fp32", "fused", "fused"),
        ("int8", None, "composed"),
        ("int8", "composed", "composed"),
        ("fp16", None, "fused"),
        ("fp16", "fused", "fused"),
        ("bf16", None, "fused"),
    ],
)
def test_each_precision_has_a_kernel_of_its_own_unless_another_is_asked_for(
    precision: Precision, asked: AttentionKernelName | None, kernel: str
) -> None:
    assert attention_kernel(precision, asked) == kernel


@pytest.mark.parametrize(
    ("precision", "asked", "message"),
    [
        ("int8", "fused", "^attention: fused is for fp32, fp16 and bf16; int8 is for CPUs"),
        ("fp16", "composed", "^attention: composed is for fp32 and int8; fp16 is for GPUs"),
        ("bf16", "composed", "^attention: composed is for fp32 and int8; bf16 is for GPUs"),
    ],
)
def test_what_does_not_go_together_is_refused(precision: Precision, asked: AttentionKernelName, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        attention_kernel(precision, asked)
