"""Opening bundles on a GPU, with onnxruntime's CUDA provider played by its CPU provider."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from service.bundle import Bundle
from service.errors import BundleError
from service.runtime.cuda.device import CudaDevice
from tests.service.runtime.cuda.host_memory import HostMemory
from tests.service.runtime.cuda.weighted_bundle import LONG, OFFSET, SHORT, TABLE, batch, expected, weighted_bundle

CUDA = "CUDAExecutionProvider"


class GpuRuntime:
    """onnxruntime as a build for GPUs would look; what is opened there opens on the CPU, and is remembered."""

    def __init__(self) -> None:
        self.opened: list[dict[str, str]] = []
        self.arenas: list[tuple[Any, ...]] = []
        self.providers = [CUDA, "CPUExecutionProvider"]
        self.before_open: Callable[[dict[str, str]], None] = lambda options: None

    def __getattr__(self, name: str) -> Any:
        return getattr(onnxruntime, name)

    def InferenceSession(self, path: str, options: Any, *, providers: list[Any], enable_fallback: int) -> Any:
        ((name, settings), other) = providers
        assert (name, other, enable_fallback) == (CUDA, "CPUExecutionProvider", 0)
        self.before_open(settings)
        self.opened.append(settings)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        session.get_providers = lambda: self.providers
        return session

    def OrtMemoryInfo(self, *arguments: Any) -> tuple[Any, ...]:
        return arguments

    def OrtArenaCfg(self, settings: dict[str, int]) -> dict[str, int]:
        return settings

    def create_and_register_allocator_v2(self, *arguments: Any) -> None:
        self.arenas.append(arguments)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> GpuRuntime:
    runtime = GpuRuntime()
    monkeypatch.setattr("service.runtime.cuda.device.onnxruntime", runtime)
    return runtime


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return weighted_bundle(tmp_path)


def test_all_buckets_open_with_one_copy_of_the_weights_and_answer(gpu: GpuRuntime, bundle: Bundle) -> None:
    memory = HostMemory()
    sessions = CudaDevice("cuda:1", memory, graphs=False).open(bundle)
    assert list(sessions) == [SHORT, LONG]
    assert [block.nbytes for block in memory.blocks] == [OFFSET + TABLE.nbytes]
    for length, session in sessions.items():
        ids = [list(range(1, length + 1)), [3] * length]
        np.testing.assert_allclose(session.run(batch(ids))["logits"], expected(ids), rtol=1e-5)


def test_sessions_get_their_device_exact_products_and_graphs_where_asked(gpu: GpuRuntime, bundle: Bundle) -> None:
    CudaDevice("cuda:1", HostMemory(), graphs=True).open(bundle)
    assert (
        gpu.opened
        == [
            {
                "device_id": "1",
                "use_tf32": "0",
                "arena_extend_strategy": "kSameAsRequested",
                "enable_cuda_graph": "1",
            }
        ]
        * 2
    )


def test_all_sessions_of_a_device_share_one_arena_with_the_limit(gpu: GpuRuntime, bundle: Bundle) -> None:
    device = CudaDevice("cuda:1", HostMemory(), memory_limit_bytes=1000)
    device.open(bundle)
    device.open(bundle)
    ((provider, memory, options, arena),) = gpu.arenas
    assert (provider, options, arena) == (CUDA, {"device_id": "1"}, {"arena_extend_strategy": 1, "max_mem": 1000})
    assert memory[0] == "Cuda"
    assert memory[2] == 1
    assert {settings["gpu_mem_limit"] for settings in gpu.opened} == {"1000"}


def test_a_runtime_that_takes_no_arena_of_ours_serves_all_the_same(gpu: GpuRuntime, bundle: Bundle) -> None:
    def refuse(*arguments: object) -> None:
        raise RuntimeError("not here")

    gpu.create_and_register_allocator_v2 = refuse  # type: ignore[method-assign]
    sessions = CudaDevice("cuda:0", HostMemory(), graphs=False).open(bundle)
    np.testing.assert_allclose(sessions[SHORT].run(batch([[1] * SHORT]))["logits"], expected([[1] * SHORT]), rtol=1e-5)


def test_a_graph_that_cannot_be_recorded_is_opened_without(gpu: GpuRuntime, bundle: Bundle) -> None:
    def refuse(settings: dict[str, str]) -> None:
        if settings["enable_cuda_graph"] == "1":
            raise RuntimeError("all the compute graph nodes have not been partitioned to the CUDAExecutionProvider")

    gpu.before_open = refuse
    sessions = CudaDevice("cuda:0", HostMemory()).open(bundle)
    assert [settings["enable_cuda_graph"] for settings in gpu.opened] == ["0", "0"]
    np.testing.assert_allclose(sessions[SHORT].run(batch([[1] * SHORT]))["logits"], expected([[1] * SHORT]), rtol=1e-5)


def test_a_graph_that_does_not_load_is_refused_by_name(gpu: GpuRuntime, bundle: Bundle) -> None:
    def refuse(settings: dict[str, str]) -> None:
        raise RuntimeError("CUDA failure 2: out of memory")

    gpu.before_open = refuse
    with pytest.raises(BundleError, match=r"graph-4\.onnx: onnxruntime cannot load it on cuda:0: CUDA failure 2"):
        CudaDevice("cuda:0", HostMemory()).open(bundle)


def test_a_graph_that_would_run_on_the_cpu_instead_is_refused(gpu: GpuRuntime, bundle: Bundle) -> None:
    gpu.providers = ["CPUExecutionProvider"]
    with pytest.raises(BundleError, match="without its CUDA provider"):
        CudaDevice("cuda:0", HostMemory()).open(bundle)


def test_a_graph_that_does_not_fit_its_manifest_is_refused(gpu: GpuRuntime, bundle: Bundle) -> None:
    bundle.manifest.outputs[0].shape[1] = 7
    with pytest.raises(BundleError, match="output logits"):
        CudaDevice("cuda:0", HostMemory()).open(bundle)


def test_sessions_outlive_the_device_that_opened_them(gpu: GpuRuntime, bundle: Bundle) -> None:
    sessions = CudaDevice("cuda:0", HostMemory(), graphs=False).open(bundle)
    gc.collect()
    _ = [np.full(OFFSET + TABLE.nbytes, 7, dtype=np.uint8) for _ in range(100)]  # what would lie in freed memory
    for _ in range(3):
        np.testing.assert_allclose(sessions[LONG].run(batch([[1] * LONG]))["logits"], expected([[1] * LONG]), rtol=1e-5)
