"""What NVIDIA's management library (NVML, of the package `nvidia-ml-py`) tells of the GPUs: how many, which, how full.

CUDA and NVML number GPUs differently, and only `cuda_devices` knows how one's numbers become the other's.
"""

import importlib
import os
from collections.abc import MutableMapping
from typing import Any

from bigbird_inference.runtime.devices import DeviceUnavailable


def open_nvml() -> Any:
    """Return the module `pynvml`, initialised.

    Raises:
        DeviceUnavailable: The package or the driver is missing, or the driver's own parts do not fit each other.
    """
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        raise DeviceUnavailable("the package nvidia-ml-py is missing: install the extra `gpu`") from None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        if error.value in (nvml.NVML_ERROR_LIBRARY_NOT_FOUND, nvml.NVML_ERROR_DRIVER_NOT_LOADED):
            raise DeviceUnavailable("there is no NVIDIA driver (a container needs `--gpus all`)") from error
        raise DeviceUnavailable(f"the NVIDIA driver does not answer: {error}") from error
    return nvml


def cuda_devices(nvml: Any, environment: MutableMapping[str, str] = os.environ) -> list[Any]:
    """Return NVML's handles of the GPUs that CUDA shows to this process, in the order of CUDA's numbers.

    NVML shows every GPU in the order of the PCI bus. CUDA shows those that `CUDA_VISIBLE_DEVICES` lists, up to the
    first that is not there, and would number them by their speed; `CUDA_DEVICE_ORDER` is set here so that it keeps to
    the bus too. CUDA reads both when it starts, so this must be called before anything runs on a GPU.

    Args:
        nvml: The module, initialised.
        environment: The process's.
    """
    environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    gpus = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return gpus
    chosen = []
    for entry in visible.split(","):
        gpu = _find(nvml, gpus, entry.strip())
        if gpu is None:
            break
        chosen.append(gpu)
    return chosen


def _find(nvml: Any, gpus: list[Any], entry: str) -> Any | None:
    """Return the GPU of a number, of the beginning of a UUID, or a part of a GPU (MIG) of a whole UUID."""
    if entry.isdigit():
        return gpus[int(entry)] if int(entry) < len(gpus) else None
    if entry.startswith("MIG-"):
        try:
            return nvml.nvmlDeviceGetHandleByUUID(entry)
        except nvml.NVMLError:
            return None
    return next((gpu for gpu in gpus if entry and nvml.nvmlDeviceGetUUID(gpu).startswith(entry)), None)


class GpuMemory:
    """The memory of one GPU, whoever uses it; also what warm-up measures runs with.

    onnxruntime's arenas keep what they took, so what is taken after a run is the most that was taken until then.

    Args:
        nvml: The module, initialised.
        gpu: NVML's handle of the GPU.
    """

    def __init__(self, nvml: Any, gpu: Any) -> None:
        self._nvml = nvml
        self._gpu = gpu

    def free_bytes(self) -> int | None:
        """Return how much of the GPU is not taken, or None if it does not answer."""
        return self._read("free")

    def anonymous_bytes(self) -> int | None:
        """Return how much of the GPU is taken, or None if it does not answer."""
        return self._read("used")

    def peak_bytes(self) -> int | None:
        """Return the most that has been taken."""
        return self._read("used")

    def _read(self, field: str) -> int | None:
        try:
            return int(getattr(self._nvml.nvmlDeviceGetMemoryInfo(self._gpu), field))
        except self._nvml.NVMLError:
            return None


def gpu_memory(name: str) -> GpuMemory:
    """Return the memory of a GPU that was found usable, by its name (`cuda:N`)."""
    nvml = open_nvml()
    return GpuMemory(nvml, cuda_devices(nvml)[int(name.partition(":")[2])])
