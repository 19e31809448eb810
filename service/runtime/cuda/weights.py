"""A bundle's weights, once on a device for the graphs of all its buckets."""

import weakref
from pathlib import Path

import numpy as np
import onnxruntime

from service.errors import BundleError
from service.runtime.cuda.dlpack import value_at
from service.runtime.cuda.external_tensors import ExternalTensor, external_tensors
from service.runtime.cuda.memory import DeviceMemory


class PlacedWeights:
    """The file of a bundle's weights, as it is, in a device's memory.

    Args:
        memory: The device's.
        file: The file.
    """

    def __init__(self, memory: DeviceMemory, file: Path) -> None:
        self._memory = memory
        self._file = file
        self._size = 0
        self._address = 0
        # Sessions read these values without holding them.
        self._values: dict[ExternalTensor, onnxruntime.OrtValue] = {}

    def place(self) -> None:
        """Copy the file to the device."""
        self._memory.use()
        self._size = self._file.stat().st_size
        if self._size:
            self._address = self._memory.allocate(self._size)
            # When the last session that reads them is gone; at the end of the process the driver does it.
            weakref.finalize(self, self._memory.release, self._address).atexit = False
            self._memory.copy_in(self._address, np.memmap(self._file, mode="r"))
            self._memory.synchronize()

    def share_with(self, options: onnxruntime.SessionOptions, graph: Path) -> None:
        """Let a graph's session use these weights in place of copies of its own.

        Raises:
            BundleError: The graph takes weights from elsewhere.
        """
        for tensor in external_tensors(graph):
            if tensor.file != self._file.name or tensor.offset + tensor.length > self._size:
                raise BundleError(f"{graph}: {tensor.name} is not in {self._file.name}")
            if tensor not in self._values:
                address = self._address + tensor.offset
                self._values[tensor] = value_at(address, tensor.shape, tensor.element_type, self._memory.dlpack_device)
            options.add_initializer(tensor.name, self._values[tensor])
