import pytest

from bigbird_inference.manifest import Precision
from model_export.errors import ExportError
from model_export.export.trace import AttentionChoice, attention_kernels


@pytest.mark.parametrize(
    ("precision", "asked", "kernels"),
    [
        ("fp32", None, ("composed",)),
        ("fp32", "composed", ("composed",)),
        ("fp32", "fused", ("fused",)),
        ("fp32", "both", ("composed", "fused")),
        ("int8", None, ("composed",)),
        ("int8", "composed", ("composed",)),
        ("fp16", None, ("composed", "fused")),
        ("fp16", "both", ("composed", "fused")),
        ("fp16", "fused", ("fused",)),
        ("fp16", "composed", ("composed",)),
        ("bf16", None, ("composed", "fused")),
    ],
)
def test_each_precision_has_kernels_of_its_own_unless_others_are_asked_for(
    precision: Precision, asked: AttentionChoice | None, kernels: tuple[str, ...]
) -> None:
    assert attention_kernels(precision, asked) == kernels


@pytest.mark.parametrize("asked", ["fused", "both"])
def test_int8_has_no_fused_kernel(asked: AttentionChoice) -> None:
    with pytest.raises(ExportError, match=r"^attention: fused is for fp32, fp16 and bf16; int8 is for CPUs"):
        attention_kernels("int8", asked)
