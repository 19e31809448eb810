import sys

import pytest

from bigbird_inference.runtime.cuda.nvml import GpuMemory, cuda_devices, gpu_memory, open_nvml
from bigbird_inference.runtime.devices import DeviceUnavailable
from tests.bigbird_inference.runtime.cuda.fake_nvml import FakeNvml


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        pytest.param(12, r"no NVIDIA driver \(a container needs `--gpus all`\)", id="no driver is installed"),
        pytest.param(9, "no NVIDIA driver", id="the driver is not loaded"),
        pytest.param(18, "does not answer: NVML error 18", id="parts of two drivers"),
    ],
)
def test_a_driver_that_is_missing_or_broken_is_told(nvml: FakeNvml, error: int, problem: str) -> None:
    nvml.init_error = error
    with pytest.raises(DeviceUnavailable, match=problem):
        open_nvml()


def test_a_missing_package_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(DeviceUnavailable, match="nvidia-ml-py is missing: install the extra `gpu`"):
        open_nvml()


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        pytest.param(None, ["GPU-aa-1", "GPU-ab-2", "GPU-b-3"], id="all"),
        pytest.param("2,0", ["GPU-b-3", "GPU-aa-1"], id="in another order"),
        pytest.param("GPU-ab-2, GPU-b", ["GPU-ab-2", "GPU-b-3"], id="by UUIDs, one of them shortened"),
        pytest.param("MIG-c", ["MIG-c"], id="a part of a GPU"),
        pytest.param("1,7,0", ["GPU-ab-2"], id="up to a number that is not there"),
        pytest.param("MIG-gone,0", [], id="up to a part that is not there"),
        pytest.param("0,-1,1", ["GPU-aa-1"], id="up to -1"),
        pytest.param("", [], id="none"),
    ],
)
def test_cudas_numbers_are_those_of_the_visible_gpus(visible: str | None, expected: list[str]) -> None:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert cuda_devices(FakeNvml(), environment) == expected


def test_cuda_is_told_to_number_gpus_as_nvml_does() -> None:
    environment = {"CUDA_DEVICE_ORDER": "FASTEST_FIRST"}
    cuda_devices(FakeNvml(), environment)
    assert environment["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_the_memory_of_a_gpu_is_found_by_its_name(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    memory = gpu_memory("cuda:1")
    assert (memory.free_bytes(), memory.anonymous_bytes(), memory.peak_bytes()) == (70, 30, 30)


def test_a_gpu_that_does_not_answer_has_unknown_memory() -> None:
    nvml = FakeNvml()
    memory = GpuMemory(nvml, "GPU-aa-1")
    nvml.lost = True
    assert (memory.free_bytes(), memory.anonymous_bytes(), memory.peak_bytes()) == (None, None, None)
