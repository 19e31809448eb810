"""Fixed places for the inputs and outputs of a device's runs.

A device runs one batch at a time, so all its sessions use the same places. A place is made as large as the largest
batch can be; where that is not known (outputs at the positions that sequences ask for) a larger one is made when it is
needed, and whoever holds the old one keeps it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.runtime.cuda.memory import DeviceMemory


@dataclass(frozen=True, slots=True)
class Place:
    """Memory for one tensor, whatever its shape.

    Attributes:
        address: On the device.
        host: The host's side of it, from which an input is copied; empty for an output.
        size: In bytes.
    """

    address: int
    host: npt.NDArray[np.uint8]
    size: int


class Staging:
    """The places of one device.

    Args:
        memory: The device's.
    """

    def __init__(self, memory: DeviceMemory) -> None:
        self.memory = memory
        self._inputs: dict[str, Place] = {}
        self._outputs: dict[str, Place] = {}

    def input(self, name: str, size: int) -> Place:
        """Return the place of an input of at most so many bytes."""
        return self._place(self._inputs, name, size, with_host=True)

    def output(self, name: str, size: int) -> Place:
        """Return the place of an output of at most so many bytes."""
        return self._place(self._outputs, name, size, with_host=False)

    def _place(self, places: dict[str, Place], name: str, size: int, with_host: bool) -> Place:
        if name not in places or places[name].size < size:
            # Twice the last one at least, so that outputs of growing shapes do not make a place each.
            size = max(size, 2 * places[name].size if name in places else 1)
            host = self.memory.host_array(size) if with_host else np.zeros(0, dtype=np.uint8)
            places[name] = Place(self.memory.allocate(size), host, size)
        return places[name]
