"""A look at this machine: is there a GPU, and can the installed onnxruntime use it?

What is missing is named here. onnxruntime itself prints a line of C++ when its CUDA libraries cannot be loaded, and
goes on with the CPU.
"""

import contextlib
import io
import logging
import re
from collections.abc import Callable
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from bigbird_inference.runtime.cuda.nvml import cuda_devices, open_nvml
from bigbird_inference.runtime.devices import CPU, DeviceUnavailable, conflicting_runtimes
from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime

logger = logging.getLogger(__name__)

_CUDA = "CUDAExecutionProvider"
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
    """Answers for `bigbird_inference.runtime.devices`.

    Args:
        root: Where the system's files are.
        load_nvml: Returns the module `pynvml`, initialised.
    """

    def __init__(self, root: Path = Path("/"), load_nvml: Callable[[], Any] = open_nvml) -> None:
        self._root = root
        self.load_nvml = load_nvml

    def conflict(self) -> str | None:
        return conflicting_runtimes()

    def gpu_expected(self) -> bool:
        devices = self._root / "dev"
        files = [self._root / "proc/driver/nvidia/version", devices / "dxg", *devices.glob("nvidia[0-9]*")]
        return _built_for_cuda() or any(file.exists() for file in files)

    def count_gpus(self) -> int:
        if not _built_for_cuda():
            raise DeviceUnavailable(_build_problem())
        nvml = self.load_nvml()
        if (problem := _driver_problem(nvml)) is not None:
            raise DeviceUnavailable(problem)
        return len(cuda_devices(nvml))

    def failure_on(self, gpu: int) -> str | None:
        missing = self.missing_libraries
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        providers = [(_CUDA, {"device_id": str(gpu)})]
        try:
            session = onnxruntime.InferenceSession(TRIAL_GRAPH, options, providers=providers, enable_fallback=0)
            if session.get_providers()[0] != _CUDA:
                why = f"{missing}: install the extra `gpu`" if missing else "the lines above say why"
                return f"its CUDA provider does not start; {why}"
            (doubled,) = session.run(None, {"x": np.ones(1, dtype=np.float32)})
        except Exception as error:
            # onnxruntime's exception classes share no public base.
            return str(error)
        return None if doubled.tolist() == [2.0] else f"1 + 1 is {doubled.tolist()} there"

    def describe(self, name: str) -> str:
        if name == CPU:
            return self._processor() or "unknown processor"
        # It only describes: whatever NVML raises, the GPU may still serve.
        with contextlib.suppress(Exception):
            nvml = self.load_nvml()
            return str(nvml.nvmlDeviceGetName(cuda_devices(nvml)[int(name.partition(":")[2])]))
        return "unknown GPU"

    @cached_property
    def missing_libraries(self) -> str:
        """What onnxruntime says while it loads the CUDA libraries from where pip puts them; nothing if all are there.

        It must do so once before its first session on a GPU, and tells about failures on standard output only.
        """
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            onnxruntime.preload_dlls()
        lines = printed.getvalue().strip().splitlines()
        if lines:
            logger.info("onnxruntime: %s", "; ".join(lines))
        return next((line for line in lines if line.startswith("Failed to load")), "")

    def _processor(self) -> str | None:
        try:
            text = (self._root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        found = re.search(r"^model name\s*:\s*(.+?)\s*$", text, re.MULTILINE)
        return found[1] if found else None


def _built_for_cuda() -> bool:
    return _CUDA in onnxruntime.get_available_providers()


def _build_problem() -> str:
    """Say why the onnxruntime that is imported has no CUDA provider."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        metadata.version("onnxruntime-gpu")
        return (
            "onnxruntime-gpu is installed, but the onnxruntime that is imported was built without CUDA: another "
            "package lies over it; run `pip uninstall --yes onnxruntime onnxruntime-gpu`, then install the extra `gpu`"
        )
    return (
        "the installed onnxruntime was built without CUDA: `pip uninstall --yes onnxruntime`, then install the extra "
        "`gpu`"
    )


def _driver_problem(nvml: Any) -> str | None:
    """Say that the driver is older than the CUDA that onnxruntime was built for; within a major version all fit."""
    built_for = str(getattr(onnxruntime, "cuda_version", ""))
    major = built_for.partition(".")[0]
    # 13000 is 13.0.
    if not major.isdigit() or nvml.nvmlSystemGetCudaDriverVersion_v2() // 1000 >= int(major):
        return None
    return (
        f"the NVIDIA driver {nvml.nvmlSystemGetDriverVersion()} is too old for CUDA {built_for}, for which the "
        "installed onnxruntime was built"
    )
