"""Memory on a GPU that belongs to us and not to onnxruntime, through the CUDA runtime that onnxruntime uses itself.

onnxruntime shares weights between sessions only if they lie in memory that it does not own, and a CUDA graph needs
inputs and outputs at addresses that never change. What is taken here is kept until the process ends, but for the
weights of models that are served no more.
"""

import ctypes
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

# Values of the CUDA runtime's interface (driver_types.h, dlpack.h).
_HOST_TO_DEVICE, _DEVICE_TO_HOST = 1, 2
_DLPACK_CUDA = 2
_BUS_ID_BYTES = 32


class CudaError(Exception):
    """A call of the CUDA runtime failed.

    Attributes:
        code: The runtime's number for it.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class DeviceMemory(Protocol):
    """One device's memory; the CPU's can stand in for it.

    Attributes:
        dlpack_device: The device's kind and number as DLPack names them.
    """

    dlpack_device: tuple[int, int]

    def use(self) -> None:
        """Make this the device of the calling thread; needed before any other call on a thread."""
        ...

    def allocate(self, size: int) -> int:
        """Return the address of so many new bytes on the device."""
        ...

    def release(self, address: int) -> None:
        """Give back what `allocate` returned; from any thread, once nothing reads it any more."""
        ...

    def host_array(self, size: int) -> npt.NDArray[np.uint8]:
        """Return so many bytes of the host from which copying is fastest, and complete when it returns."""
        ...

    def copy_in(self, address: int, array: npt.NDArray[Any]) -> None:
        """Copy a contiguous array to the device; it may still be under way unless it lies in a `host_array`."""
        ...

    def synchronize(self) -> None:
        """Wait until everything has been copied."""
        ...

    def copy_out(self, address: int, array: npt.NDArray[Any]) -> None:
        """Fill a contiguous array from the device."""
        ...

    def used_bytes(self) -> int:
        """Return how much of the device is taken, by whomever."""
        ...


class CudaRuntime:
    """The calls of libcudart that are needed.

    Args:
        library: The loaded library.
    """

    def __init__(self, library: Any) -> None:
        self._library = library
        library.cudaGetErrorString.restype = ctypes.c_char_p

    def __call__(self, function: str, *arguments: Any) -> None:
        """Call a function.

        Raises:
            CudaError: It failed.
        """
        code = getattr(self._library, function)(*arguments)
        if code:
            text = self._library.cudaGetErrorString(code)
            raise CudaError(code, f"{function}: {text.decode()} (CUDA error {code})")

    def number(self, function: str) -> int:
        """Call a function that gives one number.

        Raises:
            CudaError: It failed.
        """
        found = ctypes.c_int()
        self(function, ctypes.byref(found))
        return found.value

    def bus_id(self, gpu: int) -> str:
        """Return where a GPU is plugged in, as the driver names its folders."""
        text = ctypes.create_string_buffer(_BUS_ID_BYTES)
        self("cudaDeviceGetPCIBusId", text, _BUS_ID_BYTES, gpu)
        return text.value.decode().lower()


class GpuMemory:
    """The memory of one GPU.

    Args:
        runtime: The CUDA runtime.
        gpu: The GPU's number.
    """

    def __init__(self, runtime: CudaRuntime, gpu: int) -> None:
        self._runtime = runtime
        self._gpu = gpu
        self.dlpack_device = (_DLPACK_CUDA, gpu)

    def use(self) -> None:
        self._runtime("cudaSetDevice", self._gpu)

    def allocate(self, size: int) -> int:
        address = ctypes.c_void_p()
        self._runtime("cudaMalloc", ctypes.byref(address), ctypes.c_size_t(size))
        return address.value or 0

    def release(self, address: int) -> None:
        self.use()
        self._runtime("cudaFree", ctypes.c_void_p(address))

    def host_array(self, size: int) -> npt.NDArray[np.uint8]:
        # From other memory, cudaMemcpy returns while the last part of a copy is still under way.
        address = ctypes.c_void_p()
        self._runtime("cudaMallocHost", ctypes.byref(address), ctypes.c_size_t(size))
        return np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_uint8)), (size,))

    def copy_in(self, address: int, array: npt.NDArray[Any]) -> None:
        self._copy(address, array.ctypes.data, array.nbytes, _HOST_TO_DEVICE)

    def synchronize(self) -> None:
        self._runtime("cudaDeviceSynchronize")

    def copy_out(self, address: int, array: npt.NDArray[Any]) -> None:
        self._copy(array.ctypes.data, address, array.nbytes, _DEVICE_TO_HOST)

    def used_bytes(self) -> int:
        free, total = self._free_and_total()
        return total - free

    def free_bytes(self) -> int:
        """Return how much of the GPU is not taken."""
        return self._free_and_total()[0]

    def _copy(self, target: int, source: int, size: int, direction: int) -> None:
        self._runtime("cudaMemcpy", ctypes.c_void_p(target), ctypes.c_void_p(source), ctypes.c_size_t(size), direction)

    def _free_and_total(self) -> tuple[int, int]:
        self.use()
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._runtime("cudaMemGetInfo", ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value


class GpuMemoryMeter:
    """What runs take of a GPU, for warm-up.

    onnxruntime's arena keeps what it took, so what is taken after a run is the most that was taken until then.

    Args:
        memory: The GPU's.
    """

    def __init__(self, memory: GpuMemory) -> None:
        self._memory = memory

    def anonymous_bytes(self) -> int | None:
        return self._memory.used_bytes()

    def peak_bytes(self) -> int | None:
        return self._memory.used_bytes()
