from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from service.runtime.cuda.probe import TRIAL_GRAPH, MachineProbe
from service.runtime.devices import DeviceUnavailable
from tests.service.runtime.cuda.test_memory import FakeLibrary

DRIVER = """NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024
GCC version:  gcc version 12.3.0
"""


def loading(library: Any = None, missing: str | None = None) -> Callable[[str], Any]:
    """Return what loads libraries on a machine with everything, or with one missing."""

    def load(name: str) -> Any:
        if missing is not None and missing in name:
            raise OSError(f"{name}: cannot open shared object file: No such file or directory")
        return library

    return load


@pytest.fixture(autouse=True)
def _built_for_cuda_13(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.cuda_version", "13.0")
    monkeypatch.setattr("onnxruntime.preload_dlls", lambda: print("Failed to load something"))


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    for name in ("proc/driver/nvidia/gpus/0000:01:1a.0", "dev"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "proc/driver/nvidia/version").write_text(DRIVER)
    (tmp_path / "proc/driver/nvidia/gpus/0000:01:1a.0/information").write_text(
        "Model: \t\t NVIDIA H200\nIRQ:   \t\t 10\n"
    )
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nmodel name\t: A Processor of a Test\n")
    (tmp_path / "dev/nvidia0").touch()
    return tmp_path


def test_the_trial_graph_is_a_valid_model_that_doubles() -> None:
    onnx.checker.check_model(onnx.load_from_string(TRIAL_GRAPH))
    session = onnxruntime.InferenceSession(TRIAL_GRAPH, providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.array([21], dtype=np.float32)})[0].tolist() == [42.0]


def test_gpus_are_counted_and_described(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    probe = MachineProbe(machine, loading(FakeLibrary()))
    assert probe.count_gpus() == 3
    assert probe.describe("cuda:1") == "NVIDIA H200"
    assert probe.describe("cuda:0") == "unknown GPU"
    assert probe.describe("cpu") == "A Processor of a Test"
    assert capsys.readouterr().out == "", "what onnxruntime prints is no output of the service"


def test_a_machine_without_these_files_has_no_names_to_tell(tmp_path: Path) -> None:
    probe = MachineProbe(tmp_path, loading(FakeLibrary(cudaDeviceGetPCIBusId=35)))
    assert probe.describe("cpu") == "unknown processor"
    assert probe.describe("cuda:0") == "unknown GPU"


@pytest.mark.parametrize("file", ["dev/nvidia0", "dev/dxg", "proc/driver/nvidia/version"])
def test_a_device_or_a_driver_shows_a_gpu(tmp_path: Path, file: str) -> None:
    assert not MachineProbe(tmp_path).gpu_visible()
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).touch()
    assert MachineProbe(tmp_path).gpu_visible()


def test_missing_cuda_libraries_are_named_with_the_way_out(machine: Path) -> None:
    probe = MachineProbe(machine, loading(missing="libcudart"))
    with pytest.raises(DeviceUnavailable, match=r"libcudart\.so\.13: cannot open .* install the extra `gpu`"):
        probe.count_gpus()


@pytest.mark.parametrize(
    ("missing", "what"),
    [
        ("libcudnn", "cuDNN 9 is missing (libcudnn.so.9"),
        ("libcublas.so", "a CUDA library is missing (libcublas.so.13"),
    ],
)
def test_a_missing_library_is_named(machine: Path, missing: str, what: str) -> None:
    found = MachineProbe(machine, loading(FakeLibrary(), missing)).missing_library()
    assert found is not None
    assert found.startswith(what)
    assert "install the extra `gpu`" in found
    assert MachineProbe(machine, loading(FakeLibrary())).missing_library() is None


def test_a_driver_that_is_too_old_is_named_with_its_version(machine: Path) -> None:
    probe = MachineProbe(machine, loading(FakeLibrary(cudaGetDeviceCount=35)))
    with pytest.raises(DeviceUnavailable, match=r"NVIDIA driver 535\.183\.01 is too old for CUDA 13\.0"):
        probe.count_gpus()


def test_a_missing_driver_is_told_apart_from_an_old_one(tmp_path: Path) -> None:
    probe = MachineProbe(tmp_path, loading(FakeLibrary(cudaGetDeviceCount=35)))
    with pytest.raises(DeviceUnavailable, match=r"there is no NVIDIA driver .*--gpus all"):
        probe.count_gpus()


def test_no_gpu_is_none_and_any_other_error_is_told(machine: Path) -> None:
    library = FakeLibrary(cudaGetDeviceCount=100)
    assert MachineProbe(machine, loading(library)).count_gpus() == 0
    with pytest.raises(DeviceUnavailable, match="cudaGetDeviceCount: out of memory"):
        MachineProbe(machine, loading(FakeLibrary(cudaGetDeviceCount=2))).count_gpus()


def test_a_trial_tells_what_onnxruntime_says(monkeypatch: pytest.MonkeyPatch) -> None:
    # Here it has no CUDA provider at all.
    failure = MachineProbe().failure_on(0)
    assert failure is not None
    assert "CUDAExecutionProvider" in failure or "CUDA provider" in failure

    class Session:
        def __init__(self, *arguments: object, **options: object) -> None:
            assert options["providers"] == [("CUDAExecutionProvider", {"device_id": "3"})]

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

        def run(self, outputs: None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [2 * feeds["x"]]

    monkeypatch.setattr("onnxruntime.InferenceSession", Session)
    assert MachineProbe().failure_on(3) is None
    monkeypatch.setattr(Session, "run", lambda self, outputs, feeds: [feeds["x"]])
    assert MachineProbe().failure_on(3) == "1 + 1 is [1.0] there"
    monkeypatch.setattr(Session, "get_providers", lambda self: ["CPUExecutionProvider"])
    assert "does not start" in str(MachineProbe().failure_on(3))


def test_what_is_installed_and_imported_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    providers = ["CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: providers)
    probe = MachineProbe()
    assert not probe.built_for_cuda()
    providers.insert(0, "CUDAExecutionProvider")
    assert probe.built_for_cuda()
    monkeypatch.setattr("importlib.metadata.version", lambda name: {"onnxruntime-gpu": "1.31.1"}[name])
    assert probe.gpu_package_installed()
    monkeypatch.setattr(
        "service.runtime.installed_runtimes._is_installed", {"onnxruntime", "onnxruntime-gpu"}.__contains__
    )
    assert "overwrite each other" in str(probe.conflict())
