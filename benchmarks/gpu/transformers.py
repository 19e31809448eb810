"""transformers' BigBird on the GPU, as its users run it: eager, in half precision."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.contenders import FloatArray
from benchmarks.gpu.peers import DTYPES, PLAIN
from benchmarks.transformers_models import INPUTS, EagerModel
from bigbird_inference.runtime.session import Batch
from model_export.checkpoints.recognise import read_checkpoint

_BLOCK_SPARSE, _FULL = "block_sparse", "original_full"


class Transformers(EagerModel):
    """A transformers model for documents of any one length at a time.

    Args:
        checkpoint: Folder of the checkpoint.
        device: Where it runs.
        precision: Of weights and activations.
    """

    variants: tuple[str, ...] = (PLAIN,)
    remark = ""

    def __init__(self, checkpoint: Path, device: str, precision: str) -> None:
        self._edge = read_checkpoint(checkpoint).config.full_attention_edge
        super().__init__(checkpoint, self._edge + 1, _BLOCK_SPARSE, DTYPES[precision])
        self._device = device
        self._logits.to(device)
        # transformers is typed in part only.
        self._bert: Any = self._logits.model.get_submodule("bert")

    def prepare(self, length: int, documents: Sequence[int]) -> None:
        """Set the attention: a short input switches the model to full attention for good."""
        self._attention = _FULL if length <= self._edge else _BLOCK_SPARSE
        self._bert.set_attention_type(self._attention)

    def run(self, variant: str, batch: Batch) -> FloatArray:
        """Return logits in fp32.

        Raises:
            ValueError: The model did not attend as it was asked to.
        """
        tensors = (torch.from_numpy(getattr(batch, name)).to(self._device) for name in INPUTS)
        with torch.inference_mode():
            logits: torch.Tensor = self._logits(*tensors)
        if self._logits.attention != self._attention:
            raise ValueError(f"attention became {self._logits.attention}, not {self._attention}")
        return np.asarray(logits.float().cpu().numpy(), dtype=np.float32)
