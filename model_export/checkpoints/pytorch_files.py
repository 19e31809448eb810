"""Weights that `torch.save` wrote: `pytorch_model.bin`, or shards with `pytorch_model.bin.index.json`.

Such a file is a pickle, and a pickle is a program. It is read by torch's unpickler for weights only, which knows
nothing but tensors and plain containers and refuses everything else before it would run. What it announces is
checked against the size of the file: every tensor's elements must be there.
"""

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from model_export.checkpoints.files import weight_files
from model_export.checkpoints.pytorch_names import IGNORABLE, huggingface_names, with_encoder_prefix
from model_export.checkpoints.source_tensor import SourceTensor
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError

WEIGHTS_FILE = "pytorch_model.bin"
INDEX_FILE = "pytorch_model.bin.index.json"

_ZIP_MAGIC = b"PK\x03\x04"
# Names that early models have from TensorFlow; transformers renames them in the same way.
_OLD_ENDINGS = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


@dataclass(frozen=True, slots=True)
class PyTorchWeights:
    """Files of `torch.save` of one model, in reading order."""

    files: tuple[Path, ...]
    kind: str = "pytorch"
    ignorable: tuple[str, ...] = IGNORABLE

    def names(self, task: str, config: BigBirdConfig) -> Mapping[str, SourceTensor]:
        """Return where each tensor of our model stands."""
        return huggingface_names(task, config)

    def read(self) -> dict[str, torch.Tensor]:
        """Return all tensors by their names.

        Raises:
            CheckpointError: A file is something else than a dictionary of tensors.
        """
        tensors: dict[str, torch.Tensor] = {}
        for file in self.files:
            tensors.update(_tensors(file))
        return with_encoder_prefix(tensors)


def find(folder: Path) -> PyTorchWeights | None:
    """Return the folder's weights of `torch.save`, or None if it has none.

    Raises:
        CheckpointError: The index is unusable, or a file is missing or lies elsewhere.
    """
    files = weight_files(folder, WEIGHTS_FILE, INDEX_FILE)
    return None if files is None else PyTorchWeights(files)


def _tensors(file: Path) -> dict[str, torch.Tensor]:
    content = _load(file)
    if not isinstance(content, dict):
        raise CheckpointError(f"{file}: holds a {type(content).__name__}, not a dictionary of tensors")
    size = file.stat().st_size
    tensors: dict[str, torch.Tensor] = {}
    for name, value in content.items():
        if not isinstance(name, str) or not name.isprintable():
            raise CheckpointError(f"{file}: {name!r:.80} is no name of a tensor")
        if not isinstance(value, torch.Tensor):
            raise CheckpointError(f"{file}: {name} is a {type(value).__name__}, not a tensor")
        tensor = value.detach()
        if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise CheckpointError(f"{file}: {name} is no dense tensor")
        needed = tensor.numel() * tensor.element_size()
        if needed > min(tensor.untyped_storage().nbytes(), size):
            raise CheckpointError(f"{file}: {name} of shape {list(tensor.shape)} is larger than what is stored of it")
        tensors[_current_name(name)] = tensor
    return tensors


def _load(file: Path) -> object:
    try:
        is_zip = _is_plain_zip(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old formats, which are read all the same
            return torch.load(file, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{file}: {_forbidden(error)}, and was not run") from error
    except Exception as error:  # whatever a spoilt file makes torch raise: a dozen kinds, none documented
        raise CheckpointError(f"{file}: cannot be read as PyTorch weights: {_cause(error)}") from error


def _is_plain_zip(file: Path) -> bool:
    """Tell a zip archive, which today's format is, from the older format; refuse a compressed one.

    torch stores without compression, so that the archive can be mapped into memory. Compressed entries can be a
    thousand times larger than they look.
    """
    with file.open("rb") as stream:
        if stream.read(len(_ZIP_MAGIC)) != _ZIP_MAGIC:
            return False
    with zipfile.ZipFile(file) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("its entries are compressed, which those of torch.save are not")
    return True


def _forbidden(error: pickle.UnpicklingError) -> str:
    """Return what the unpickler refused; the rest of its message is advice to run the file without protection."""
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    if named:
        return f"holds more than tensors, it asks for {named[1]}"
    return "cannot be read as PyTorch weights: it is no file of torch.save"


def _cause(error: Exception) -> str:
    """Return the first line of a message, where it says something about the file."""
    lines = str(error).splitlines() if isinstance(error, OSError | RuntimeError | ValueError) else []
    if not lines or "weights_only" in lines[0]:
        return "it is no file of torch.save, or not all of one"
    return lines[0][:200]


def _current_name(name: str) -> str:
    for old, new in _OLD_ENDINGS.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name
