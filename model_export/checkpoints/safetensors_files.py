"""Weights in safetensors files: `model.safetensors`, or shards with `model.safetensors.index.json`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from model_export.checkpoints.files import weight_files
from model_export.checkpoints.pytorch import IGNORABLE, huggingface_names, with_encoder_prefix
from model_export.checkpoints.source_tensors import SourceTensor
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class SafetensorsWeights:
    """Safetensors files of one model, in reading order."""

    files: tuple[Path, ...]
    kind: str = "safetensors"
    ignorable: tuple[str, ...] = IGNORABLE

    def names(self, task: str, config: BigBirdConfig) -> Mapping[str, SourceTensor]:
        """Return where each tensor of our model stands."""
        return huggingface_names(task, config)

    def read(self) -> dict[str, torch.Tensor]:
        """Return all tensors by their names.

        Raises:
            CheckpointError: A file is no safetensors file.
        """
        tensors: dict[str, torch.Tensor] = {}
        for file in self.files:
            try:
                tensors.update(load_file(file))
            except (OSError, SafetensorError) as error:
                raise CheckpointError(f"{file}: cannot be read as safetensors: {error}") from error
        return with_encoder_prefix(tensors)


def find(folder: Path) -> SafetensorsWeights | None:
    """Return the folder's safetensors weights, or None if it has none.

    Raises:
        CheckpointError: The index is unusable, or a file is missing or lies elsewhere.
    """
    files = weight_files(folder, WEIGHTS_FILE, INDEX_FILE)
    return None if files is None else SafetensorsWeights(files)
