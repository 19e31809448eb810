"""NVIDIA's management library, played by a fake with the names of the package `nvidia-ml-py`."""

from types import SimpleNamespace


class FakeNvml:
    """Three GPUs and a part of one; handles are UUIDs. A driver for CUDA 13.1."""

    NVML_ERROR_LIBRARY_NOT_FOUND = 12
    NVML_ERROR_DRIVER_NOT_LOADED = 9

    class NVMLError(Exception):
        def __init__(self, value: int) -> None:
            super().__init__(f"NVML error {value}")
            self.value = value

    def __init__(self) -> None:
        self.uuids = ["GPU-aa-1", "GPU-ab-2", "GPU-b-3"]
        self.cuda_version = 13010
        self.init_error: int | None = None
        self.lost = False

    def nvmlInit(self) -> None:
        if self.init_error is not None:
            raise self.NVMLError(self.init_error)

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:
        return self.cuda_version

    def nvmlSystemGetDriverVersion(self) -> str:
        return "535.183.01"

    def nvmlDeviceGetCount(self) -> int:
        return len(self.uuids)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return self.uuids[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid != "MIG-c":
            raise self.NVMLError(6)
        return uuid

    def nvmlDeviceGetUUID(self, handle: str) -> str:
        return handle

    def nvmlDeviceGetName(self, handle: str) -> str:
        return f"the GPU {handle}"

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> SimpleNamespace:
        if self.lost:
            raise self.NVMLError(15)
        used = 10 * (1 + [*self.uuids, "MIG-c"].index(handle))
        return SimpleNamespace(used=used, free=100 - used, total=100)

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> SimpleNamespace:
        if handle.startswith("MIG"):
            raise self.NVMLError(3)
        return SimpleNamespace(gpu=25 * (1 + self.uuids.index(handle)))
