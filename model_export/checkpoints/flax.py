"""Weights that transformers' Flax models wrote: `flax_model.msgpack`, whole or in shards."""

import math
import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgpack
import torch

from model_export.checkpoints.failed_downloads import beginning, how_it_is_spoilt
from model_export.checkpoints.files import weight_files
from model_export.checkpoints.source_tensors import SourceTensor, StoredTensors
from model_export.checkpoints.stored_names import under_own_names
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError

Kind = Literal["embedding", "dense", "norm"]
_Modules = dict[str, tuple[Kind, str]]

# Own module -> what it is, and the Flax module.
_EMBEDDINGS: _Modules = {
    "embeddings.word": ("embedding", "bert/embeddings/word_embeddings"),
    "embeddings.position": ("embedding", "bert/embeddings/position_embeddings"),
    "embeddings.token_type": ("embedding", "bert/embeddings/token_type_embeddings"),
    "embeddings.norm": ("norm", "bert/embeddings/LayerNorm"),
}
_LAYER: _Modules = {
    "attention.query": ("dense", "attention/self/query"),
    "attention.key": ("dense", "attention/self/key"),
    "attention.value": ("dense", "attention/self/value"),
    "attention.output": ("dense", "attention/output/dense"),
    "attention.norm": ("norm", "attention/output/LayerNorm"),
    "feed_forward.widen": ("dense", "intermediate/dense"),
    "feed_forward.narrow": ("dense", "output/dense"),
    "feed_forward.norm": ("norm", "output/LayerNorm"),
}
_POOLER: _Modules = {"head.pooler": ("dense", "bert/pooler")}
_LANGUAGE_MODEL: _Modules = {
    "head.transform.dense": ("dense", "cls/predictions/transform/dense"),
    "head.transform.norm": ("norm", "cls/predictions/transform/LayerNorm"),
}
_ANSWER_TYPES: _Modules = {
    "head.answer_type.pooler": ("dense", "bert/pooler"),
    "head.answer_type.output": ("dense", "cls"),
}
_HEADS: dict[str, _Modules] = {
    "qa": {
        "head.feed_forward.widen": ("dense", "qa_classifier/intermediate/dense"),
        "head.feed_forward.narrow": ("dense", "qa_classifier/output/dense"),
        "head.feed_forward.norm": ("norm", "qa_classifier/output/LayerNorm"),
        "head.output": ("dense", "qa_classifier/qa_outputs"),
    },
    "classify": {
        "head.dense": ("dense", "classifier/dense"),
        "head.output": ("dense", "classifier/out_proj"),
    },
    "ner": {"head.output": ("dense", "classifier")},
    "fill-mask": _LANGUAGE_MODEL,
    "generate": _LANGUAGE_MODEL,
    "next-sentence": {**_POOLER, "head.output": ("dense", "cls/seq_relationship")},
    "multiple-choice": {**_POOLER, "head.output": ("dense", "classifier")},
    "embed": _POOLER,
}
_DECODER_BIAS = SourceTensor("cls/predictions/bias")
_DECODER_WEIGHT = SourceTensor("cls/predictions/decoder/kernel", "transposed")
_QUERY_KEY_VALUE = ("attention.query", "attention.key", "attention.value")

IGNORABLE = (
    "bert/pooler/",
    "cls/predictions/",
    "cls/predictions/decoder/",  # a copy of the word embeddings where they are tied
    "cls/seq_relationship/",
    "cls/kernel",
    "cls/bias",
    "classifier/",
    "qa_classifier/",
)
"""Parts of a checkpoint that some task's head does not read."""


def flax_names(task: str, config: BigBirdConfig) -> dict[str, SourceTensor]:
    """Return, for each tensor of our model, where it stands in a Flax checkpoint."""
    names: dict[str, SourceTensor] = {}
    for own, (kind, source) in _modules(task, config):
        match kind:
            case "embedding":
                names[f"{own}.weight"] = SourceTensor(f"{source}/embedding")
            case "norm":
                names[f"{own}.weight"] = SourceTensor(f"{source}/scale")
                names[f"{own}.bias"] = SourceTensor(f"{source}/bias")
            case "dense":
                names[f"{own}.weight"] = SourceTensor(f"{source}/kernel", "transposed")
                if config.use_bias or not own.endswith(_QUERY_KEY_VALUE):
                    names[f"{own}.bias"] = SourceTensor(f"{source}/bias")
    if _HEADS[task] is _LANGUAGE_MODEL:
        names["head.decoder_bias"] = _DECODER_BIAS
        if not config.tie_word_embeddings:
            names["head.decoder_weight"] = _DECODER_WEIGHT
    return names


def _modules(task: str, config: BigBirdConfig) -> Iterator[tuple[str, tuple[Kind, str]]]:
    yield from _EMBEDDINGS.items()
    for layer in range(config.num_hidden_layers):
        for own, (kind, source) in _LAYER.items():
            yield f"encoder.layers.{layer}.{own}", (kind, f"bert/encoder/layer/{layer}/{source}")
    if task != "embed" or config.has_pooler:
        yield from _HEADS[task].items()
    if task == "qa" and config.has_answer_types:
        yield from _ANSWER_TYPES.items()


WEIGHTS_FILE = "flax_model.msgpack"
INDEX_FILE = "flax_model.msgpack.index.json"

_ARRAY, _SCALAR = 1, 3  # flax's extension types; the other one is complex numbers, which no model has
_CHUNKED = "__msgpack_chunked_array__"
_MAX_DIMENSIONS = 8
# What msgpack says of a file that ends too early.
_INCOMPLETE = "Unpack failed: incomplete input"
# The number types that flax may name and weights or counters may have.
_DTYPES = {
    name: getattr(torch, name)
    for name in ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
}


@dataclass(frozen=True, slots=True)
class FlaxWeights:
    """The Flax weights of a folder, not read yet."""

    files: tuple[Path, ...]
    kind: str = "flax"
    ignorable: tuple[str, ...] = IGNORABLE

    def names(self, task: str, config: BigBirdConfig) -> Mapping[str, SourceTensor]:
        """Return where each tensor of our model stands."""
        return flax_names(task, config)

    def read(self, ignored: Sequence[str] = ()) -> StoredTensors:
        """Return all arrays by their path, `/` between the parts; those of the encoder below `bert`.

        Raises:
            CheckpointError: A file is not msgpack of arrays in flax's form, or names do not tell what the arrays are.
        """
        tensors: dict[str, torch.Tensor] = {}
        for file in self.files:
            try:
                _flatten(_unpack(file), "", tensors)
            except (OSError, ValueError, TypeError, MemoryError, RecursionError, msgpack.UnpackException) as error:
                reason = " ".join(str(error).split()) or type(error).__name__
                if reason == _INCOMPLETE:
                    reason = f"it is cut off after {file.stat().st_size} bytes; download or copy it again"
                reason = how_it_is_spoilt(beginning(file)) or reason
                raise CheckpointError(f"{file}: cannot be read as Flax weights: {reason}") from error
        return under_own_names(tensors, self.files[0], separator="/", ignored=ignored)


def find(folder: Path) -> FlaxWeights | None:
    """Return the Flax weights of a folder, None if there are none.

    Raises:
        CheckpointError: There is an index of shards that cannot be used.
    """
    files = weight_files(folder, WEIGHTS_FILE, INDEX_FILE)
    return None if files is None else FlaxWeights(files)


def _unpack(file: Path) -> object:
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        # A list is reserved at the length that it announces. Flax writes none, so none is taken.
        return msgpack.unpackb(content, ext_hook=_array, max_array_len=0)


def _array(code: int, data: bytes) -> torch.Tensor:
    """Return the tensor in an extension of type `code`."""
    if code not in (_ARRAY, _SCALAR):
        raise ValueError(f"extension type {code} is not an array")
    try:
        packed = msgpack.unpackb(data, raw=True, max_array_len=_MAX_DIMENSIONS, max_map_len=0)
    except ValueError as error:
        raise ValueError(f"an array is not packed as shape, type and bytes: {error}") from error
    match packed:
        case [list(shape), bytes(type_name), bytes(content)]:
            return _tensor(shape, type_name.decode("ascii", errors="replace"), content)
    raise ValueError("an array is not packed as shape, type and bytes")


def _tensor(shape: list[object], type_name: str, content: bytes) -> torch.Tensor:
    dtype = _DTYPES.get(type_name)
    if dtype is None:
        raise ValueError(f"an array has elements of type {type_name[:40]!r}")
    sizes = _sizes(shape)
    if math.prod(sizes) * dtype.itemsize != len(content):
        raise ValueError(f"an array of shape {sizes} and type {type_name} has {len(content)} bytes")
    if not content:
        return torch.empty(sizes, dtype=dtype)
    return torch.frombuffer(bytearray(content), dtype=dtype).reshape(sizes)


def _sizes(shape: list[object]) -> list[int]:
    sizes = [size for size in shape if isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 2**48]
    if len(sizes) != len(shape):
        raise ValueError("an array has a shape that is not a list of sizes")
    return sizes


def _flatten(tree: object, path: str, tensors: dict[str, torch.Tensor]) -> None:
    """Collect the arrays of nested maps under their paths."""
    if isinstance(tree, torch.Tensor) and path:
        tensors[path] = tree
    elif not isinstance(tree, dict):
        raise ValueError(f"{path!r} is not an array" if path else "it does not hold named arrays")
    elif _CHUNKED in tree:
        tensors[path] = _unchunked(tree, path)
    else:
        for name, branch in tree.items():
            if not isinstance(name, str) or not name.isprintable():
                raise ValueError(f"{name!r} is not a name")
            _flatten(branch, f"{path}/{name}" if path else name, tensors)


def _unchunked(tree: dict[object, object], path: str) -> torch.Tensor:
    """Put an array together that flax has cut into chunks, whose numbers are the keys."""
    chunks, shape = _listed(tree.get("chunks")), _listed(tree.get("shape"))
    flat = [chunk for chunk in chunks if isinstance(chunk, torch.Tensor) and chunk.ndim == 1]
    sizes = _sizes(shape)
    if not flat or len(flat) != len(chunks) or len({chunk.dtype for chunk in flat}) != 1:
        raise ValueError(f"{path!r} has chunks that do not fit together")
    if len(sizes) > _MAX_DIMENSIONS or sum(len(chunk) for chunk in flat) != math.prod(sizes):
        raise ValueError(f"{path!r} has chunks that do not fill its shape")
    return torch.cat(flat).reshape(sizes)


def _listed(numbered: object) -> list[object]:
    """Return the values of a map from "0", "1", ... in that order; empty if it is none."""
    if not isinstance(numbered, dict) or set(numbered) != {str(index) for index in range(len(numbered))}:
        return []
    return [numbered[str(index)] for index in range(len(numbered))]
