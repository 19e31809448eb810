"""One weights file for all graphs: every distinct tensor stands in it once.

The tracer names weights as it likes and stores linear maps transposed, so tensors are recognised by their contents
and get the names of the model's parameters back (`encoder.layers.0.attention.query.weight.transposed`). The same
tensor has the same name in every bucket's graph. Of a small model's position embeddings it keeps only the rows that a
bucket needs; they are a part of the whole table in the file.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch

from model_export.errors import ExportError

# Whole pages, so that each tensor can be memory-mapped by itself.
_ALIGNMENT = 4096
# Larger float constants that are no parameter would be weights in disguise.
_LARGEST_CONSTANT_BYTES = 1024
_FIRST_ROWS = ".first_"
_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Extent:
    offset: int
    length: int


def parameter_arrays(model: torch.nn.Module) -> dict[str, Array]:
    """Return the tensors of a model by name; NumPy knows bfloat16 through the type that ONNX brings."""
    return {name: _as_array(tensor) for name, tensor in model.state_dict().items()}


def _as_array(tensor: torch.Tensor) -> Array:
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ir.DataType.BFLOAT16.numpy())
    array: Array = tensor.numpy()
    return array


class SharedWeights:
    """Moves the weights of traced graphs into one file.

    Args:
        path: The file; it is created anew.
        parameters: The model's tensors by name.
    """

    def __init__(self, path: Path, parameters: Mapping[str, Array]) -> None:
        self._path = path
        self._parameters = parameters
        self._extents: dict[str, _Extent] = {}
        self._name_of_digest: dict[str, str] = {}

    def start(self) -> None:
        """Create the file and learn the contents of all parameters."""
        self._path.write_bytes(b"")
        for name, array in self._parameters.items():
            self._name_of_digest.setdefault(_digest(array), name)
            if array.ndim == 2:
                self._name_of_digest.setdefault(_digest(array.T), f"{name}.transposed")

    def give_names(self, model: ir.Model) -> None:
        """Give the graph's weights the names of the parameters that they are.

        Raises:
            ExportError: The graph holds a large float tensor that is none of the parameters.
        """
        initializers = model.graph.initializers
        for old_name, value in list(initializers.items()):
            if value.const_value is None or value.const_value.dtype not in _FLOATS:
                continue
            array = value.const_value.numpy()
            name = self._name_of(old_name, array)
            if name is None:
                if array.nbytes > _LARGEST_CONSTANT_BYTES:
                    raise ExportError(f"graph: the constant {old_name} {list(array.shape)} is no parameter")
                continue
            if name == old_name:
                continue
            del initializers[old_name]
            if name in initializers:
                ir.convenience.replace_all_uses_with(value, initializers[name])
            else:
                value.name = name
                initializers[name] = value

    def take_from(self, model: ir.Model) -> None:
        """Move the weights of a graph with names to the file, and let the graph point at them."""
        for name, value in model.graph.initializers.items():
            tensor = value.const_value
            if tensor is None or not self._is_weight(name):
                continue
            extent = self._extent_of(name, np.ascontiguousarray(tensor.numpy()))
            value.const_value = ir.ExternalTensor(
                location=self._path.name,
                offset=extent.offset,
                length=extent.length,
                dtype=tensor.dtype,
                shape=ir.Shape(tensor.shape.numpy()),
                name=name,
                base_dir=str(self._path.parent),
            )

    def _is_weight(self, name: str) -> bool:
        """Tell a parameter, or what was made of one: turned, cut or quantised."""
        return any(name == own or name.startswith(f"{own}.") for own in self._parameters)

    def _name_of(self, name: str, array: Array) -> str | None:
        if name in self._parameters:
            return name
        known = self._name_of_digest.get(_digest(array))
        if known is not None:
            return known
        table = self._table_beginning_with(array)
        return None if table is None else f"{table}{_FIRST_ROWS}{len(array)}"

    def _extent_of(self, name: str, array: Array) -> _Extent:
        table, cut, _ = name.partition(_FIRST_ROWS)
        if not cut:
            return self._store(array)
        return _Extent(self._store(self._parameters[table]).offset, array.nbytes)

    def _table_beginning_with(self, rows: Array) -> str | None:
        """Return the name of the parameter whose first rows these are, but of no smaller constant."""
        if rows.ndim != 2 or rows.nbytes <= _LARGEST_CONSTANT_BYTES:
            return None
        return next(
            (
                name
                for name, table in self._parameters.items()
                if table.ndim == 2
                and (table.dtype, table.shape[1]) == (rows.dtype, rows.shape[1])
                and np.array_equal(table[: len(rows)], rows)
            ),
            None,
        )

    def _store(self, array: Array) -> _Extent:
        digest = _digest(array)
        if digest not in self._extents:
            with self._path.open("ab") as file:
                offset = -(-file.tell() // _ALIGNMENT) * _ALIGNMENT
                file.write(b"\0" * (offset - file.tell()))
                file.write(array.tobytes())
            self._extents[digest] = _Extent(offset, array.nbytes)
        return self._extents[digest]


def _digest(array: Array) -> str:
    contiguous = np.ascontiguousarray(array)
    kind = f"{contiguous.dtype} {contiguous.shape}"
    return hashlib.sha256(kind.encode() + contiguous.tobytes()).hexdigest()
