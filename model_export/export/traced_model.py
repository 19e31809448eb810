"""The model that is traced: the checkpoint's, in the number format and with the attention kernel of the bundle."""

import torch

from model_export.errors import ExportError
from model_export.nn.attention_kernels import with_kernel
from model_export.nn.half_precision import halved
from model_export.nn.model import BigBird
from service.bundle import AttentionKernelName, Precision

HALF_TYPES: dict[Precision, torch.dtype] = {"fp16": torch.float16, "bf16": torch.bfloat16}


def attention_kernel(precision: Precision, asked: AttentionKernelName | None) -> AttentionKernelName:
    """Return the kernel of a bundle: the one that was asked for, or the precision's own.

    Raises:
        ExportError: The two do not go together.
    """
    if precision in HALF_TYPES:
        if asked == "composed":
            raise ExportError(f"attention: composed is for fp32 and int8; {precision} is for GPUs and fused there")
        return "fused"
    if precision == "int8" and asked == "fused":
        raise ExportError("attention: fused is for fp32, fp16 and bf16; int8 is for CPUs, where it would gain nothing")
    return asked or "composed"


def traced_model(model: BigBird, precision: Precision, kernel: AttentionKernelName) -> BigBird:
    """Return the model to trace.

    Args:
        model: The checkpoint's, in float32, with the composed kernel. It stays as it is.
        precision: Of the bundle; int8 products are made of float32 ones after tracing.
        kernel: Of the bundle.
    """
    if kernel != "composed":
        model = with_kernel(model, kernel)
    return halved(model, HALF_TYPES[precision]) if precision in HALF_TYPES else model
