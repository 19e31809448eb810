"""Packs arrays as flax does, for files that flax itself would not write."""

from collections.abc import Sequence
from typing import Any

import msgpack
import numpy as np

ARRAY = 1


def packed_array(shape: Any, type_name: Any, content: Any, *rest: Any, code: int = ARRAY) -> msgpack.ExtType:
    return msgpack.ExtType(code, msgpack.packb([shape, type_name, content, *rest]))


def array(values: Sequence[float] | np.ndarray, type_name: str = "float32") -> msgpack.ExtType:
    held = np.asarray(values, dtype=type_name)
    return packed_array(held.shape, type_name, held.tobytes())


def chunked(chunks: Any, shape: Any) -> dict[str, Any]:
    return {"__msgpack_chunked_array__": True, "shape": shape, "chunks": chunks}
