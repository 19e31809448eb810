"""In which number format a training computes; weights and optimiser stay in single precision."""

from dataclasses import dataclass
from typing import Literal

import torch

from model_export.errors import ExportError

PrecisionName = Literal["auto", "fp32", "bf16", "fp16"]

_FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class Precision:
    """A number format on a kind of device.

    Attributes:
        name: `fp32`, `bf16` or `fp16`.
        device: `cpu` or `cuda`.
    """

    name: str
    device: str

    @classmethod
    def of(cls, name: PrecisionName, device: torch.device) -> "Precision":
        """Choose a format.

        Args:
            name: Which; `auto` takes what the device is fast in: bf16 where it has instructions for it, fp16 on older
                GPUs, fp32 on other CPUs.
            device: Where the training runs.

        Raises:
            ExportError: The device cannot train in that format.
        """
        if device.type == "cuda":
            has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
            return cls({"auto": "bf16" if has_bf16 else "fp16"}.get(name, name), "cuda")
        if name == "fp16":
            raise ExportError("precision: fp16 needs a GPU; on a CPU there are fp32 and bf16")
        return cls({"auto": "bf16" if _cpu_has_bf16() else "fp32"}.get(name, name), "cpu")

    def autocast(self) -> torch.autocast:
        """Return a context in which products are computed in this format."""
        return torch.autocast(self.device, _FORMATS[self.name], enabled=self.name != "fp32")

    def gradient_scaler(self) -> torch.amp.GradScaler:
        """Return what keeps the small gradients of fp16 from vanishing; for other formats it does nothing."""
        return torch.amp.GradScaler(self.device, enabled=self.name == "fp16")


def _cpu_has_bf16() -> bool:
    # torch has no public name for the question.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
