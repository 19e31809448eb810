"""How a training runs the model.

In which number format it computes (weights and optimiser stay in single precision), whether activations are computed
twice rather than kept, with which random blocks, and in which form the outputs come: that of the tasks that decode
them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch.utils.checkpoint import checkpoint

from bigbird_inference.runtime.session import Outputs
from finetuning.batches import Row, pad, uses_full_attention
from model_export.config import BigBirdConfig
from model_export.errors import ExportError
from model_export.nn.model import BigBird
from model_export.patterns.pattern import RandomBlocks

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


def recompute_activations(model: BigBird) -> None:
    """Make every layer of the encoder compute its activations anew for its gradients."""
    for layer in model.encoder.layers:
        # On the instance: hooks still see the layer's input and output, and the weights keep their names.
        setattr(layer, "forward", partial(checkpoint, layer.forward, use_reentrant=False))  # noqa: B010


def fresh_blocks(
    config: BigBirdConfig, shortest: int, longest: int, generator: np.random.Generator
) -> list[RandomBlocks]:
    """Draw the random blocks of every layer.

    Args:
        config: Of a model with block-sparse attention.
        shortest: Blocks of the shortest document of the batch.
        longest: Blocks of the longest one.
        generator: Where the random numbers come from.
    """
    rows = np.arange(1, longest - 1)
    choices = np.arange(1, shortest - 1)
    in_window = np.abs(rows[:, None] - choices) <= 1
    blocks = []
    for _ in range(config.num_hidden_layers):
        order = generator.random((config.num_attention_heads, len(rows), len(choices)))
        order[:, in_window] = 2.0
        first = np.argsort(order, axis=-1)[..., : config.num_random_blocks]
        blocks.append(RandomBlocks(choices[first]))
    return blocks


def model_outputs(model: BigBird, rows: Sequence[Row], rows_at_once: int, device: torch.device) -> list[Outputs]:
    """Run the model on rows, neighbours in length together.

    Args:
        model: In evaluation mode.
        rows: The inputs.
        rows_at_once: How many are computed at once.
        device: Where the model is.

    Returns:
        For each row, in the same order, its logits, cut to the row's length where they are of tokens.
    """
    logits: list[Outputs | None] = [None] * len(rows)
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    for full in (True, False):
        kind = [index for index in order if uses_full_attention(len(rows[index]), model.config) == full]
        for first in range(0, len(kind), rows_at_once):
            group = kind[first : first + rows_at_once]
            batch = pad([rows[index] for index in group], model.config).to(device)
            values = model(*batch.inputs).float().cpu().numpy()
            for index, own in zip(group, values, strict=True):
                logits[index] = {"logits": own[: len(rows[index])] if own.ndim == 2 else np.asarray(own)}
    return [own for own in logits if own is not None]
