"""The host's memory in place of a GPU's: what runs on a GPU runs here on the CPU, at real addresses."""

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

CPU = (1, 0)


class HostMemory:
    """Counts what was taken; addresses stay valid as long as this lives."""

    dlpack_device = CPU

    def __init__(self) -> None:
        self.blocks: list[npt.NDArray[np.uint8]] = []
        self.uses = 0

    def use(self) -> None:
        self.uses += 1

    def allocate(self, size: int) -> int:
        self.blocks.append(np.zeros(size, dtype=np.uint8))
        return int(self.blocks[-1].ctypes.data)

    def release(self, address: int) -> None:
        self.blocks = [block for block in self.blocks if block.ctypes.data != address]

    def host_array(self, size: int) -> npt.NDArray[np.uint8]:
        return np.zeros(size, dtype=np.uint8)

    def copy_in(self, address: int, array: npt.NDArray[Any]) -> None:
        ctypes.memmove(address, array.ctypes.data, array.nbytes)

    def copy_out(self, address: int, array: npt.NDArray[Any]) -> None:
        ctypes.memmove(array.ctypes.data, address, array.nbytes)

    def synchronize(self) -> None:
        pass

    def used_bytes(self) -> int:
        return sum(block.nbytes for block in self.blocks)
