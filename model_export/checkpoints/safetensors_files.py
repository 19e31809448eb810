"""Weights in safetensors files: `model.safetensors`, or shards with `model.safetensors.index.json`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from model_export.checkpoints.failed_downloads import beginning, how_it_is_spoilt
from model_export.checkpoints.files import weight_files
from model_export.checkpoints.pytorch import IGNORABLE, huggingface_names, own_names
from model_export.checkpoints.source_tensors import SourceTensor, StoredTensors
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"

# The format's own limit, in bytes.
_LARGEST_HEADER = 100_000_000


@dataclass(frozen=True, slots=True)
class SafetensorsWeights:
    """Safetensors files of one model, in reading order."""

    files: tuple[Path, ...]
    kind: str = "safetensors"
    ignorable: tuple[str, ...] = IGNORABLE

    def names(self, task: str, config: BigBirdConfig) -> Mapping[str, SourceTensor]:
        """Return where each tensor of our model stands."""
        return huggingface_names(task, config)

    def read(self, ignored: Sequence[str] = ()) -> StoredTensors:
        """Return all tensors under the names of the table.

        Raises:
            CheckpointError: A file is not a safetensors file, or names do not tell what the tensors are.
        """
        tensors: dict[str, torch.Tensor] = {}
        for file in self.files:
            tensors |= read_tensors(file)
        return own_names(tensors, self.files[0], ignored)


def read_tensors(file: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a file, mapped into memory.

    Raises:
        CheckpointError: It is not a safetensors file.
    """
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file}: cannot be read as safetensors: {_missing_end(file) or error}") from error
    for name in tensors:
        if not name.isprintable():
            raise CheckpointError(f"{file}: {name!r:.80} is not the name of a tensor")
    return tensors


def _missing_end(file: Path) -> str | None:
    """Return what is missing of a file: all of it, or its end if it begins as safetensors do."""
    size = file.stat().st_size
    spoilt = how_it_is_spoilt(beginning(file))
    if spoilt is not None:
        return spoilt
    if size < 8:
        return f"it is cut off after {size} bytes; download or copy it again"
    with file.open("rb") as stream:
        header_bytes = int.from_bytes(stream.read(8), "little")
        if header_bytes > _LARGEST_HEADER:
            return None
        header = stream.read(header_bytes)
    needed = 8 + header_bytes
    try:
        entries = json.loads(header) if len(header) == header_bytes else {}
        needed += max(entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        if len(header) == header_bytes:
            return None
    if size >= needed:
        return None
    return f"it is cut off, {size} of {needed} bytes are there; download or copy it again"


def find(folder: Path) -> SafetensorsWeights | None:
    """Return the folder's safetensors weights, or None if it has none.

    Raises:
        CheckpointError: The index is unusable, or a file is missing or lies elsewhere.
    """
    files = weight_files(folder, WEIGHTS_FILE, INDEX_FILE)
    return None if files is None else SafetensorsWeights(files)
