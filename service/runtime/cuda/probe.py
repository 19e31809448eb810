"""A look at this machine: is there a GPU, and can the installed onnxruntime use it?

Each question is asked on its own, so that what is missing can be named. Loading CUDA libraries fails late and far away
otherwise: onnxruntime prints a line of C++ and goes on with the CPU.
"""

import contextlib
import ctypes
import io
import logging
import re
from collections.abc import Callable
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from service.runtime.cuda.memory import CudaError, CudaRuntime, GpuMemory
from service.runtime.devices import CPU, DeviceUnavailable
from service.runtime.installed_runtimes import conflicting_runtimes

logger = logging.getLogger(__name__)

_CUDA = "CUDAExecutionProvider"
# Codes of the CUDA runtime (driver_types.h).
_DRIVER_TOO_OLD, _NO_GPU = 35, 100
_INSTALL = "install the extra `gpu`, which brings the CUDA libraries and cuDNN"
# An ONNX model of one operator: y = x + x, one float (protobuf, made by hand so that the service needs no `onnx`).
TRIAL_GRAPH = (
    b"\x08\x08"  # format version 8
    b"\x3a\x39"  # the graph
    b"\x0a\x0e\x0a\x01x\x0a\x01x\x12\x01y\x22\x03Add"
    b"\x12\x05trial"
    b"\x5a\x0f\x0a\x01x\x12\x0a\x0a\x08\x08\x01\x12\x04\x0a\x02\x08\x01"
    b"\x62\x0f\x0a\x01y\x12\x0a\x0a\x08\x08\x01\x12\x04\x0a\x02\x08\x01"
    b"\x42\x02\x10\x11"  # operators of version 17
)


class MachineProbe:
    """Answers for `service.runtime.devices`.

    Args:
        root: Where the system's files are.
        load: Loads a native library by its name.
    """

    def __init__(self, root: Path = Path("/"), load: Callable[[str], Any] = ctypes.CDLL) -> None:
        self._root = root
        self._load = load

    def conflict(self) -> str | None:
        return conflicting_runtimes()

    def built_for_cuda(self) -> bool:
        return _CUDA in onnxruntime.get_available_providers()

    def gpu_package_installed(self) -> bool:
        with contextlib.suppress(metadata.PackageNotFoundError):
            return bool(metadata.version("onnxruntime-gpu"))
        return False

    def gpu_visible(self) -> bool:
        files = [self._driver_file, self._root / "dev/dxg", *(self._root / "dev").glob("nvidia[0-9]*")]
        return any(file.exists() for file in files)

    def count_gpus(self) -> int:
        try:
            return self._runtime.number("cudaGetDeviceCount")
        except OSError as error:
            raise DeviceUnavailable(f"the CUDA libraries cannot be loaded ({error}): {_INSTALL}") from error
        except CudaError as error:
            if error.code == _NO_GPU:
                return 0
            if error.code == _DRIVER_TOO_OLD:
                raise DeviceUnavailable(self._driver_problem()) from error
            raise DeviceUnavailable(f"the GPU cannot be used: {error}") from error

    def missing_library(self) -> str | None:
        major = self._cuda_version.partition(".")[0]
        for name in (f"libcublasLt.so.{major}", f"libcublas.so.{major}", "libcudnn.so.9"):
            try:
                self._load(name)
            except OSError as error:
                what = "cuDNN 9" if "cudnn" in name else "a CUDA library"
                return f"{what} is missing ({error}): {_INSTALL}"
        return None

    def failure_on(self, gpu: int) -> str | None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        providers = [(_CUDA, {"device_id": str(gpu)})]
        try:
            session = onnxruntime.InferenceSession(TRIAL_GRAPH, options, providers=providers, enable_fallback=0)
            if session.get_providers()[0] != _CUDA:
                return "its CUDA provider does not start; the lines above say why"
            (doubled,) = session.run(None, {"x": np.ones(1, dtype=np.float32)})
        except Exception as error:
            # onnxruntime's exception classes share no public base.
            return str(error)
        return None if doubled.tolist() == [2.0] else f"1 + 1 is {doubled.tolist()} there"

    def describe(self, name: str) -> str:
        if name == CPU:
            return _field(self._root / "proc/cpuinfo", "model name") or "unknown processor"
        with contextlib.suppress(CudaError):
            folder = self._runtime.bus_id(int(name.partition(":")[2]))
            model = _field(self._root / "proc/driver/nvidia/gpus" / folder / "information", "Model")
            return model or "unknown GPU"
        return "unknown GPU"

    def memory_of(self, gpu: int) -> GpuMemory:
        """Return a GPU's memory; the GPU has been found usable."""
        return GpuMemory(self._runtime, gpu)

    @property
    def _driver_file(self) -> Path:
        return self._root / "proc/driver/nvidia/version"

    @property
    def _cuda_version(self) -> str:
        """The version that onnxruntime was built for, for example 13.0."""
        return str(getattr(onnxruntime, "cuda_version", "") or "12")

    @cached_property
    def _runtime(self) -> CudaRuntime:
        """The CUDA runtime, from the packages that the extra `gpu` installs, or the system's.

        Raises:
            OSError: It cannot be loaded.
        """
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            # Loads what onnxruntime needs from where pip puts it; tells about failures on standard output only.
            getattr(onnxruntime, "preload_dlls", lambda: None)()
        if printed.getvalue():
            logger.info("onnxruntime: %s", printed.getvalue().strip())
        return CudaRuntime(self._load(f"libcudart.so.{self._cuda_version.partition('.')[0]}"))

    def _driver_problem(self) -> str:
        needed = f"CUDA {self._cuda_version}, for which the installed onnxruntime was built"
        try:
            found = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)", self._driver_file.read_text(encoding="utf-8"))
        except OSError:
            return f"there is no NVIDIA driver for {needed} (a container needs `--gpus all`)"
        driver = f" {found[1]}" if found else ""
        return f"the NVIDIA driver{driver} is too old for {needed}"


def gpu_memory(name: str) -> GpuMemory:
    """Return the memory of a GPU that was found usable, by its name (`cuda:N`)."""
    return MachineProbe().memory_of(int(name.partition(":")[2]))


def _field(file: Path, name: str) -> str | None:
    """Return the value of a line `name : value` of a file."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(rf"^{name}\s*:\s*(.+?)\s*$", text, re.MULTILINE)
    return found[1] if found else None
