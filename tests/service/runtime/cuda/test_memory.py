import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from service.runtime.cuda.memory import CudaError, CudaRuntime, GpuMemory, GpuMemoryMeter
from service.runtime.run_failures import meaning_of
from service.runtime.session import OutOfMemory


class ErrorString:
    """The one function that gives a text."""

    restype: Any = None

    def __call__(self, code: int) -> bytes:
        texts = {2: b"out of memory", 35: b"CUDA driver version is insufficient for CUDA runtime version"}
        return texts.get(code, b"no CUDA-capable device is detected")


class FakeLibrary:
    """libcudart on the host's memory; a call that a test names fails with its code."""

    def __init__(self, free: int = 70, total: int = 100, **failing: int) -> None:
        self.cudaGetErrorString = ErrorString()
        self.devices: list[int] = []
        self.copies: list[int] = []
        self.failing = failing
        self.memory = SimpleNamespace(free=free, total=total)
        self._blocks: list[np.ndarray] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            return self.failing.get(name, 0) or getattr(self, f"_{name}")(*arguments)

        if not name.startswith("cuda"):
            raise AttributeError(name)
        return call

    def _cudaSetDevice(self, gpu: int) -> int:
        self.devices.append(gpu)
        return 0

    def _cudaMalloc(self, address: Any, size: ctypes.c_size_t) -> int:
        self._blocks.append(np.zeros(size.value, dtype=np.uint8))
        address._obj.value = self._blocks[-1].ctypes.data
        return 0

    def _cudaFree(self, address: ctypes.c_void_p) -> int:
        self._blocks = [block for block in self._blocks if block.ctypes.data != address.value]
        return 0

    _cudaMallocHost = _cudaMalloc

    def _cudaMemcpy(self, target: Any, source: Any, size: Any, direction: int) -> int:
        self.copies.append(direction)
        ctypes.memmove(target, source, size.value)
        return 0

    def _cudaMemGetInfo(self, free: Any, total: Any) -> int:
        free._obj.value, total._obj.value = self.memory.free, self.memory.total
        return 0

    def _cudaDeviceSynchronize(self) -> int:
        return 0

    def _cudaGetDeviceCount(self, count: Any) -> int:
        count._obj.value = 3
        return 0

    def _cudaDeviceGetPCIBusId(self, text: Any, size: int, gpu: int) -> int:
        text.value = f"0000:{gpu:02X}:1A.0".encode()
        return 0


def test_what_is_copied_in_can_be_copied_out() -> None:
    library = FakeLibrary()
    memory = GpuMemory(CudaRuntime(library), 1)
    memory.use()
    address = memory.allocate(24)
    host = memory.host_array(24).view(np.int64)
    host[:] = [1, 2, 3]
    memory.copy_in(address, host)
    memory.synchronize()
    found = np.empty(3, dtype=np.int64)
    memory.copy_out(address, found)
    assert found.tolist() == [1, 2, 3]
    assert library.devices == [1]
    assert library.copies == [1, 2]  # cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost
    assert memory.dlpack_device == (2, 1)  # kDLCUDA


def test_a_call_that_fails_says_which_and_why() -> None:
    runtime = CudaRuntime(FakeLibrary(cudaGetDeviceCount=35))
    with pytest.raises(CudaError, match=r"cudaGetDeviceCount: CUDA driver version .*CUDA error 35") as error:
        runtime.number("cudaGetDeviceCount")
    assert error.value.code == 35


def test_numbers_and_places_are_read() -> None:
    runtime = CudaRuntime(FakeLibrary())
    assert runtime.number("cudaGetDeviceCount") == 3
    assert runtime.bus_id(2) == "0000:02:1a.0"


def test_no_room_on_the_gpu_is_out_of_memory() -> None:
    memory = GpuMemory(CudaRuntime(FakeLibrary(cudaMalloc=2)), 0)
    with pytest.raises(CudaError) as error:
        memory.allocate(1)
    assert isinstance(meaning_of(error.value), OutOfMemory)


def test_warm_up_reads_what_is_taken_of_the_gpu() -> None:
    library = FakeLibrary(free=70, total=100)
    memory = GpuMemory(CudaRuntime(library), 0)
    meter = GpuMemoryMeter(memory)
    assert meter.anonymous_bytes() == 30
    library.memory.free = 45
    assert meter.peak_bytes() == 55
    assert memory.free_bytes() == 45


def test_what_was_taken_is_given_back_by_its_address() -> None:
    library = FakeLibrary()
    memory = GpuMemory(CudaRuntime(library), 0)
    first, second = memory.allocate(8), memory.allocate(8)
    memory.release(first)
    assert [block.ctypes.data for block in library._blocks] == [second]
