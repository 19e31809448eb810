"""One weights file for all graphs: every distinct tensor stands in it once."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

# Whole pages, so that each tensor can be memory-mapped by itself.
_ALIGNMENT = 4096

Array = npt.NDArray[Any]


class SharedWeights:
    """Moves the weights of graphs into one file.

    Args:
        path: The file; it is created anew.
        parameters: Names of the model's tensors.
    """

    def __init__(self, path: Path, parameters: Iterable[str]) -> None:
        self._path = path
        self._parameters = frozenset(parameters)
        self._offsets: dict[str, int] = {}
        path.write_bytes(b"")

    def take_from(self, model: ir.Model) -> None:
        """Move the weights of a graph to the file, and let the graph point at them."""
        for name, value in model.graph.initializers.items():
            tensor = value.const_value
            if tensor is None or not self._is_weight(name):
                continue
            array = np.ascontiguousarray(tensor.numpy())
            value.const_value = ir.ExternalTensor(
                location=self._path.name,
                offset=self._store(array),
                length=array.nbytes,
                dtype=tensor.dtype,
                shape=ir.Shape(tensor.shape.numpy()),
                name=name,
                base_dir=str(self._path.parent),
            )

    def _is_weight(self, name: str) -> bool:
        """Tell a parameter, or what was made of one: turned or quantised."""
        return any(name == own or name.startswith(f"{own}.") for own in self._parameters)

    def _store(self, array: Array) -> int:
        """Return where an array stands in the file."""
        digest = _digest(array)
        if digest not in self._offsets:
            with self._path.open("ab") as file:
                offset = -(-file.tell() // _ALIGNMENT) * _ALIGNMENT
                file.write(b"\0" * (offset - file.tell()))
                file.write(array.tobytes())
            self._offsets[digest] = offset
        return self._offsets[digest]


def _digest(array: Array) -> str:
    contiguous = np.ascontiguousarray(array)
    kind = f"{contiguous.dtype} {contiguous.shape}"
    return hashlib.sha256(kind.encode() + contiguous.tobytes()).hexdigest()
