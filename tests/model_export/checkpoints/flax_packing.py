"""Packs arrays as flax does, for files that flax itself would not write."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgpack
import numpy as np
import torch

ARRAY = 1


def packed_array(shape: Any, type_name: Any, content: Any, *rest: Any, code: int = ARRAY) -> msgpack.ExtType:
    return msgpack.ExtType(code, msgpack.packb([shape, type_name, content, *rest]))


def array(values: Sequence[float] | np.ndarray, type_name: str = "float32") -> msgpack.ExtType:
    held = np.asarray(values, dtype=type_name)
    return packed_array(held.shape, type_name, held.tobytes())


def chunked(chunks: Any, shape: Any) -> dict[str, Any]:
    return {"__msgpack_chunked_array__": True, "shape": shape, "chunks": chunks}


def packed_model(state: Mapping[str, torch.Tensor]) -> bytes:
    """Pack what Flax has for a model of transformers: nested maps, kernels the other way round, other last names."""
    tree: dict[str, Any] = {}
    for name, tensor in state.items():
        *modules, kind = name.split(".")
        values = tensor.numpy()
        if kind == "weight" and modules[-1] == "LayerNorm":
            kind = "scale"
        elif kind == "weight" and modules[-1].endswith("embeddings"):
            kind = "embedding"
        elif kind == "weight":
            kind, values = "kernel", np.ascontiguousarray(values.T)
        branch = tree
        for module in modules:
            branch = branch.setdefault(module, {})
        branch[kind] = array(values)
    packed: bytes = msgpack.packb(tree)
    return packed
