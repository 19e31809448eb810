"""NVIDIA's management library, played by a fake: no GPU is needed, and none is disturbed."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from bigbird_inference.runtime.devices import DeviceUnavailable
from service.telemetry.gpu_metrics import GpuMetrics
from tests.bigbird_inference.runtime.cuda.fake_nvml import FakeNvml

FAMILIES = ("bigbird_gpu_memory_used_bytes", "bigbird_gpu_memory_total_bytes", "bigbird_gpu_utilization_ratio")


@pytest.fixture(autouse=True)
def all_devices_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "to be restored")


def read(registry: CollectorRegistry, device: str) -> list[float | None]:
    return [registry.get_sample_value(name, {"device": device}) for name in FAMILIES]


def test_every_watched_gpu_is_reported() -> None:
    registry = CollectorRegistry()
    gpus = GpuMetrics(registry, FakeNvml)
    gpus.watch("cuda:0")
    gpus.watch("cuda:1")
    assert read(registry, "cuda:0") == [10, 100, 0.25]
    assert read(registry, "cuda:1") == [20, 100, 0.5]


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        pytest.param("1,0", [20, 100, 0.5], id="in another order"),
        pytest.param("GPU-ab", [20, 100, 0.5], id="by the beginning of its UUID"),
        pytest.param("MIG-c", [40, 100, None], id="a part of a GPU, which has no utilisation"),
        pytest.param("GPU-unknown", [None, None, None], id="one that NVML does not know"),
    ],
)
def test_cudas_numbers_are_translated_where_devices_are_renumbered(
    monkeypatch: pytest.MonkeyPatch, visible: str, expected: list[float | None]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    registry = CollectorRegistry()
    GpuMetrics(registry, FakeNvml).watch("cuda:0")
    assert read(registry, "cuda:0") == expected


def test_without_nvml_the_families_are_there_and_empty() -> None:
    def missing() -> Any:
        raise DeviceUnavailable("the package nvidia-ml-py is missing")

    registry = CollectorRegistry()
    gpus = GpuMetrics(registry, missing)
    gpus.watch("cuda:0")
    text = generate_latest(registry).decode()
    for name in FAMILIES:
        assert f"# TYPE {name} gauge" in text
        assert f"{name}{{" not in text


def test_the_cpu_is_not_asked_of_nvml() -> None:
    def loaded() -> Any:
        raise AssertionError

    registry = CollectorRegistry()
    GpuMetrics(registry, loaded).watch("cpu")
    assert read(registry, "cpu") == [None, None, None]


def test_a_gpu_that_is_lost_has_no_samples_and_the_rest_is_still_collected() -> None:
    registry = CollectorRegistry()
    nvml = FakeNvml()
    gpus = GpuMetrics(registry, lambda: nvml)
    gpus.watch("cuda:0")
    nvml.lost = True
    assert read(registry, "cuda:0") == [None, None, None]
