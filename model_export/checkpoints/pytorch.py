"""Weights that `torch.save` wrote: `pytorch_model.bin`, or shards with `pytorch_model.bin.index.json`.

Such a file is a pickle, and a pickle is a program. It is read by torch's unpickler for weights only, which knows
nothing but tensors and plain containers and refuses everything else before it would run. What it announces is
checked against the size of the file: every tensor's elements must be there.

One table says where each of our tensors is in a Hugging Face PyTorch checkpoint; safetensors files use it, too.
"""

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from model_export.checkpoints.files import weight_files
from model_export.checkpoints.source_tensors import SourceTensor
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError

# Own module -> Hugging Face module; each stands for its `weight` and, where there is one, its `bias`.
_EMBEDDING_MODULES = {
    "embeddings.word": "bert.embeddings.word_embeddings",
    "embeddings.position": "bert.embeddings.position_embeddings",
    "embeddings.token_type": "bert.embeddings.token_type_embeddings",
    "embeddings.norm": "bert.embeddings.LayerNorm",
}
_LAYER_MODULES = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "attention.norm": "attention.output.LayerNorm",
    "feed_forward.widen": "intermediate.dense",
    "feed_forward.narrow": "output.dense",
    "feed_forward.norm": "output.LayerNorm",
}
_POOLER = {"head.pooler": "bert.pooler"}
_LANGUAGE_MODEL = {
    "head.transform.dense": "cls.predictions.transform.dense",
    "head.transform.norm": "cls.predictions.transform.LayerNorm",
}
_QUESTION_ANSWERING = {
    "head.feed_forward.widen": "qa_classifier.intermediate.dense",
    "head.feed_forward.narrow": "qa_classifier.output.dense",
    "head.feed_forward.norm": "qa_classifier.output.LayerNorm",
    "head.output": "qa_classifier.qa_outputs",
}
_HEAD_MODULES = {
    "qa": _QUESTION_ANSWERING,
    "classify": {"head.dense": "classifier.dense", "head.output": "classifier.out_proj"},
    "ner": {"head.output": "classifier"},
    "fill-mask": _LANGUAGE_MODEL,
    "generate": _LANGUAGE_MODEL,
    "next-sentence": {**_POOLER, "head.output": "cls.seq_relationship"},
    "multiple-choice": {**_POOLER, "head.output": "classifier"},
    "embed": _POOLER,
}
# Own tensors that are no module's weight or bias.
_TIED_DECODER = {"head.decoder_bias": "cls.predictions.bias"}
_SEPARATE_DECODER = {
    "head.decoder_bias": "cls.predictions.decoder.bias",
    "head.decoder_weight": "cls.predictions.decoder.weight",
}
_WITHOUT_BIAS = {"embeddings.word", "embeddings.position", "embeddings.token_type"}
_QUERY_KEY_VALUE = ("attention.query", "attention.key", "attention.value")

IGNORABLE = (
    "bert.pooler.",
    "bert.embeddings.position_ids",
    "bert.embeddings.token_type_ids",
    "cls.predictions.",
    "cls.predictions.bias",
    "cls.predictions.decoder.",
    "cls.seq_relationship.",
    "classifier.",
    "qa_classifier.",
)
"""Parts of a checkpoint that some task's head does not read."""


def huggingface_names(task: str, config: BigBirdConfig) -> dict[str, SourceTensor]:
    """Return, for each tensor of our model, where it stands in a Hugging Face checkpoint."""
    names: dict[str, SourceTensor] = {}
    for own, source in _modules(task, config):
        names[f"{own}.weight"] = SourceTensor(f"{source}.weight")
        if own not in _WITHOUT_BIAS and (config.use_bias or not own.endswith(_QUERY_KEY_VALUE)):
            names[f"{own}.bias"] = SourceTensor(f"{source}.bias")
    if task in ("fill-mask", "generate"):
        decoder = _TIED_DECODER if config.tie_word_embeddings else _SEPARATE_DECODER
        names |= {own: SourceTensor(source) for own, source in decoder.items()}
    return names


def with_encoder_prefix(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors with the prefix `bert.` that an encoder saved without a head lacks."""
    if any(name.startswith("bert.") for name in tensors):
        return dict(tensors)
    return {f"bert.{name}": tensor for name, tensor in tensors.items()}


def _modules(task: str, config: BigBirdConfig) -> Iterator[tuple[str, str]]:
    yield from _EMBEDDING_MODULES.items()
    for layer in range(config.num_hidden_layers):
        for own, source in _LAYER_MODULES.items():
            yield f"encoder.layers.{layer}.{own}", f"bert.encoder.layer.{layer}.{source}"
    if task == "embed" and not config.has_pooler:
        return
    yield from _HEAD_MODULES[task].items()


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
