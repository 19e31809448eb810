"""The model that is traced: the checkpoint's, in the number format of the bundle and with an attention kernel."""

from typing import Literal

import torch

from bigbird_inference.bundle import AttentionKernelName, Precision
from model_export.errors import ExportError
from model_export.nn.attention_kernels import with_kernel
from model_export.nn.model import BigBird
from model_export.nn.precision import halved

AttentionChoice = Literal["composed", "fused", "both"]

HALF_TYPES: dict[Precision, torch.dtype] = {"fp16": torch.float16, "bf16": torch.bfloat16}


def attention_kernels(precision: Precision, asked: AttentionChoice | None) -> tuple[AttentionKernelName, ...]:
    """Return the kernels that a bundle has graphs of: those asked for, or the precision's own.

    Half precision has both: a GPU takes the fused one where it works, and the composed one is what it is compared with.

    Raises:
        ExportError: The two do not go together.
    """
    if precision == "int8" and asked in ("fused", "both"):
        raise ExportError("attention: fused is for fp32, fp16 and bf16; int8 is for CPUs, where it would gain nothing")
    choice = asked or ("both" if precision in HALF_TYPES else "composed")
    return ("composed", "fused") if choice == "both" else (choice,)


def traced_model(model: BigBird, precision: Precision, kernel: AttentionKernelName) -> BigBird:
    """Return the model to trace.

    Args:
        model: The checkpoint's, in float32, with the composed kernel. It stays as it is.
        precision: Of the bundle; int8 products are made of float32 ones after tracing.
        kernel: Of the graph.
    """
    if kernel != "composed":
        model = with_kernel(model, kernel)
    return halved(model, HALF_TYPES[precision]) if precision in HALF_TYPES else model
