"""What runs a graph on a CPU, for tests of what holds for all of it.

onnxruntime is tried in `make test`, OpenVINO in `make test-integration`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bigbird_inference.manifest import CpuPrecision, CpuRuntime, Manifest
from bigbird_inference.runtime import quiet_openvino
from bigbird_inference.runtime.onnx_session import open_session
from bigbird_inference.runtime.openvino_session import open_openvino_session
from bigbird_inference.runtime.session import Session
from tests.foreign_programs import REQUIRED

openvino_is_installed = quiet_openvino.installed


@dataclass(frozen=True)
class CpuCase:
    """A runtime, and what it computes in."""

    runtime: CpuRuntime
    precision: CpuPrecision = "fp32"

    def open(self, graph: Path, manifest: Manifest, threads: int = 1) -> Session:
        """Load a graph as the service does."""
        if self.runtime == "onnxruntime":
            return open_session(graph, manifest, device="cpu", threads=threads)
        need_openvino()
        return open_openvino_session(graph, manifest, precision=self.precision, threads=threads)


IN_ONNXRUNTIME = CpuCase("onnxruntime")
ONNXRUNTIME = pytest.param(IN_ONNXRUNTIME, id="onnxruntime")
OPENVINO = pytest.param(CpuCase("openvino"), id="openvino", marks=pytest.mark.integration)
OPENVINO_BF16 = pytest.param(CpuCase("openvino", "bf16"), id="openvino in bf16", marks=pytest.mark.integration)


def need_openvino() -> None:
    """Skip a test where OpenVINO is not installed; fail it where everything is expected."""
    if openvino_is_installed():
        return
    reason = "OpenVINO is not installed; `make install` does it"
    if os.environ.get(REQUIRED):
        pytest.fail(f"{reason} ({REQUIRED} is set)")
    pytest.skip(reason)


@contextmanager
def exports_without_openvino() -> Iterator[None]:
    """Let exports in this process measure nothing in OpenVINO, as where it is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quiet_openvino, "installed", lambda: False)
        yield


@contextmanager
def exports_with_openvino() -> Iterator[None]:
    """Let exports in this process measure OpenVINO after all."""
    need_openvino()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quiet_openvino, "installed", openvino_is_installed)
        yield
