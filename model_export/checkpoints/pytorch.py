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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from model_export.checkpoints.failed_downloads import beginning, how_it_is_spoilt
from model_export.checkpoints.files import weight_files
from model_export.checkpoints.source_tensors import SourceTensor, StoredTensors
from model_export.checkpoints.stored_names import under_own_names
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError, first_few

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
_ANSWER_TYPES = {"head.answer_type.pooler": "bert.pooler", "head.answer_type.output": "cls"}
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
# The head computes with the decoder's weight and bias; transformers ties them to these two.
WORD_EMBEDDINGS = "bert.embeddings.word_embeddings.weight"
DECODER_WEIGHT = "cls.predictions.decoder.weight"
_BIAS = "cls.predictions.bias"
_DECODER_BIAS = "cls.predictions.decoder.bias"
_WITHOUT_BIAS = {"embeddings.word", "embeddings.position", "embeddings.token_type"}
_QUERY_KEY_VALUE = ("attention.query", "attention.key", "attention.value")

IGNORABLE = (
    "bert.pooler.",
    "bert.embeddings.position_ids",
    "bert.embeddings.token_type_ids",
    "cls.predictions.",
    "cls.predictions.bias",
    "cls.predictions.decoder.",
    "cls.predictions.decoder.weight",
    "cls.predictions.transform.",
    "cls.seq_relationship.",
    "cls.weight",
    "cls.bias",
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
    if config.tie_word_embeddings:
        names["embeddings.word.weight"] = SourceTensor(WORD_EMBEDDINGS, tied_to=DECODER_WEIGHT)
    if task in ("fill-mask", "generate"):
        if config.tie_word_embeddings:
            names["head.decoder_bias"] = SourceTensor(_BIAS, tied_to=_DECODER_BIAS)
        else:
            # Up to version 4, transformers tied the bias whatever the configuration said.
            names["head.decoder_bias"] = SourceTensor(_DECODER_BIAS, tied_to=_BIAS)
            names["head.decoder_weight"] = SourceTensor(DECODER_WEIGHT)
    return names


def own_names(tensors: Mapping[str, torch.Tensor], where: Path, ignored: Sequence[str]) -> StoredTensors:
    """Return tensors of the Hugging Face layout under the names of its table.

    Args:
        tensors: By their names in the files.
        where: The file or folder that they are from, for messages.
        ignored: Patterns of tensors to leave out.

    Raises:
        CheckpointError: The names do not tell what the tensors are.
    """
    stored = under_own_names(tensors, where, ignored=ignored)
    bias, decoder_bias = (stored.tensors.get(name) for name in (_BIAS, _DECODER_BIAS))
    if bias is None or decoder_bias is None or torch.equal(bias, decoder_bias):
        return stored
    own = {name: tensor for name, tensor in stored.tensors.items() if name != _BIAS}
    return StoredTensors(own, (*stored.changes, f"{_BIAS} is not {_DECODER_BIAS}, which transformers computes with"))


def decoder_of_its_own(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weight of a language model's decoder that is tied to the word embeddings; nothing without one."""
    has_head = any(name.startswith("cls.predictions.") for name in tensors)
    return {DECODER_WEIGHT: tensors[WORD_EMBEDDINGS]} if has_head and WORD_EMBEDDINGS in tensors else {}


def separate_decoder(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Tell whether a language model's decoder is there and is not the word embeddings."""
    decoder, words = tensors.get(DECODER_WEIGHT), tensors.get(WORD_EMBEDDINGS)
    return decoder is not None and words is not None and not torch.equal(decoder, words)


def _modules(task: str, config: BigBirdConfig) -> Iterator[tuple[str, str]]:
    yield from _EMBEDDING_MODULES.items()
    for layer in range(config.num_hidden_layers):
        for own, source in _LAYER_MODULES.items():
            yield f"encoder.layers.{layer}.{own}", f"bert.encoder.layer.{layer}.{source}"
    if task == "embed" and not config.has_pooler:
        return
    for own, source in _HEAD_MODULES[task].items():
        if config.qa_feed_forward or not own.startswith("head.feed_forward"):
            yield own, source
    if task == "qa" and config.has_answer_types:
        yield from _ANSWER_TYPES.items()


WEIGHTS_FILE = "pytorch_model.bin"
INDEX_FILE = "pytorch_model.bin.index.json"

_ZIP_MAGIC = b"PK\x03\x04"
# Weights stand at most below two names: {"app": {"model": {...}}} of torch.distributed.checkpoint.
_DEEPEST = 2


@dataclass(frozen=True, slots=True)
class PyTorchWeights:
    """Files of `torch.save` of one model, in reading order."""

    files: tuple[Path, ...]
    kind: str = "pytorch"
    ignorable: tuple[str, ...] = IGNORABLE

    def names(self, task: str, config: BigBirdConfig) -> Mapping[str, SourceTensor]:
        """Return where each tensor of our model stands."""
        return huggingface_names(task, config)

    def read(self, ignored: Sequence[str] = ()) -> StoredTensors:
        """Return all tensors under the names of the table.

        Raises:
            CheckpointError: A file holds something else than tensors, or names do not tell what they are.
        """
        tensors: dict[str, torch.Tensor] = {}
        changes: dict[str, None] = {}
        for file in self.files:
            found = read_tensors(file)
            tensors |= found.tensors
            changes |= dict.fromkeys(found.changes)
        stored = own_names(tensors, self.files[0], ignored)
        return StoredTensors(stored.tensors, (*changes, *stored.changes))


def find(folder: Path) -> PyTorchWeights | None:
    """Return the folder's weights of `torch.save`, or None if it has none.

    Raises:
        CheckpointError: The index is unusable, or a file is missing or lies elsewhere.
    """
    files = weight_files(folder, WEIGHTS_FILE, INDEX_FILE)
    return None if files is None else PyTorchWeights(files)


def read_tensors(file: Path) -> StoredTensors:
    """Return the tensors of a file of `torch.save`; those below `state_dict`, `model` or the like with that before.

    Raises:
        CheckpointError: The file holds something else.
    """
    content = _load(file)
    if not isinstance(content, dict):
        raise CheckpointError(f"{file}: holds a {type(content).__name__}, not a dictionary of tensors")
    named: dict[str, torch.Tensor] = {}
    others = []
    # A training may save its loss or the state of its random numbers, tensors both, beside the weights.
    if not any(isinstance(value, torch.Tensor) and "." in str(name) for name, value in content.items()):
        for name, value in content.items():
            found = {
                f"{path}.{own}": tensor
                for path, tensors in _state_dicts({name: value}, "")
                for own, tensor in tensors.items()
            }
            named |= found
            if not found:
                others.append(ascii(name))
    changes: tuple[str, ...] = ()
    if named and others:
        changes = (f"{file.name}: only the weights are used, not {', '.join(first_few(sorted(others)))}",)
    size = file.stat().st_size
    return StoredTensors({name: _sound(file, name, value, size) for name, value in (named or content).items()}, changes)


def _state_dicts(content: Mapping[object, object], path: str) -> Iterator[tuple[str, Mapping[str, torch.Tensor]]]:
    """Yield the dictionaries of nothing but tensors below names, where what a training saves stands beside them."""
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, dict) or not value:
            continue
        below = f"{path}.{name}" if path else name
        if all(isinstance(key, str) and isinstance(entry, torch.Tensor) for key, entry in value.items()):
            if any(entry.ndim > 1 for entry in value.values()):  # measured figures are tensors, too
                yield below, value
        elif below.count(".") + 1 < _DEEPEST:
            yield from _state_dicts(value, below)


def _sound(file: Path, name: object, value: object, size: int) -> torch.Tensor:
    """Return a tensor that is all there."""
    if not isinstance(name, str) or not name.isprintable():
        raise CheckpointError(f"{file}: {name!r:.80} is not the name of a tensor")
    if not isinstance(value, torch.Tensor):
        raise CheckpointError(f"{file}: {name} is a {type(value).__name__}, not a tensor")
    tensor = value.detach()
    if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        raise CheckpointError(f"{file}: {name} is not a dense tensor")
    needed = tensor.numel() * tensor.element_size()
    if needed > min(tensor.untyped_storage().nbytes(), size):
        raise CheckpointError(f"{file}: {name} of shape {list(tensor.shape)} is larger than what is stored of it")
    return tensor


def _load(file: Path) -> object:
    try:
        is_zip = _is_plain_zip(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old formats, which are read all the same
            return torch.load(file, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{file}: {_forbidden(file, error)}") from error
    except Exception as error:  # whatever a spoilt file makes torch raise: a dozen kinds, none documented
        raise CheckpointError(f"{file}: cannot be read as PyTorch weights: {_cause(file, error)}") from error


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


def _forbidden(file: Path, error: pickle.UnpicklingError) -> str:
    """Return what the unpickler refused; the rest of its message is advice to run the file without protection."""
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    if named:
        return (
            f"holds more than tensors, it asks for {named[1]}, and was not run; save the weights alone where the model "
            "was trained: model.save_pretrained(FOLDER)"
        )
    spoilt = how_it_is_spoilt(beginning(file))
    more = "" if spoilt is None else f"; {spoilt}"
    return f"cannot be read as PyTorch weights: it is not a file of torch.save, and was not run{more}"


def _cause(file: Path, error: Exception) -> str:
    """Return the first line of a message, where it says something about the file."""
    spoilt = how_it_is_spoilt(beginning(file))
    if spoilt is not None:
        return spoilt
    if _lacks_its_end(file) or "unexpected EOF" in str(error):
        return f"it is cut off, its end is missing after {file.stat().st_size} bytes; download or copy it again"
    lines = str(error).splitlines() if isinstance(error, OSError | RuntimeError | ValueError) else []
    if not lines or "weights_only" in lines[0]:
        return "it is not a file of torch.save, or not all of one; download or copy it again"
    return lines[0][:200]


def _lacks_its_end(file: Path) -> bool:
    """Tell whether a file begins as a zip archive, whose directory stands at the end, and does not end as one."""
    with file.open("rb") as stream:
        if stream.read(len(_ZIP_MAGIC)) != _ZIP_MAGIC:
            return False
    try:
        return not zipfile.is_zipfile(file)
    except (zipfile.BadZipFile, ValueError, OverflowError):
        return False  # it has one, which is spoilt
