"""Opening bundles on a GPU, with onnxruntime's CUDA provider played by its CPU provider."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from bigbird_inference.bundle import Bundle
from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import Tensor
from bigbird_inference.runtime.cuda.device import CudaDevice
from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime
from bigbird_inference.runtime.session import Shape
from tests.bigbird_inference.runtime.cuda.model_of_sums import FACTORS, batch, bundle_of_sums, logits
from tests.bigbird_inference.runtime.test_external_data import external
from tests.hostile_bundles import sums, write_graph

CUDA = "CUDAExecutionProvider"
ROWS = [[1, 2, 3, 4], [2, 2, 0, 0]]


class GpuRuntime:
    """onnxruntime as a build for GPUs would look; what is opened there opens on the CPU, and is remembered."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, dict[str, str]]] = []
        self.options: list[onnxruntime.SessionOptions] = []
        self.providers = [CUDA, "CPUExecutionProvider"]
        self.before_open: Callable[[dict[str, str]], None] = lambda settings: None

    def __getattr__(self, name: str) -> Any:
        return getattr(onnxruntime, name)

    def InferenceSession(self, path: str, options: Any, *, providers: list[Any], enable_fallback: int) -> Any:
        ((name, settings), other) = providers
        assert (name, other, enable_fallback) == (CUDA, "CPUExecutionProvider", 0)
        self.before_open(settings)
        self.opened.append((Path(path).name, settings))
        self.options.append(options)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        session.get_providers = lambda: self.providers
        return session


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> GpuRuntime:
    runtime = GpuRuntime()
    monkeypatch.setattr("bigbird_inference.runtime.cuda.device.onnxruntime", runtime)
    return runtime


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return bundle_of_sums(tmp_path, "composed", "fused")


def test_each_kind_of_attention_is_opened_once_with_the_fused_kernel(gpu: GpuRuntime, bundle: Bundle) -> None:
    sessions = CudaDevice("cuda:1").open(bundle).sessions
    assert list(sessions) == ["full", "block_sparse"]
    assert [name for name, _ in gpu.opened] == ["graph-full-fused.onnx", "graph-block_sparse-fused.onnx"]
    for kind, session in sessions.items():
        np.testing.assert_array_equal(session.run(batch(ROWS))["logits"], logits(ROWS, FACTORS[kind, "fused"]))


def test_a_bundle_without_the_fused_kernel_is_opened_as_it_is(gpu: GpuRuntime, tmp_path: Path) -> None:
    sessions = CudaDevice("cuda:1").open(bundle_of_sums(tmp_path, "composed")).sessions
    np.testing.assert_array_equal(
        sessions["full"].run(batch(ROWS))["logits"], logits(ROWS, FACTORS["full", "composed"])
    )


def test_sessions_get_their_device_exact_products_an_arena_of_their_own_and_graphs(
    gpu: GpuRuntime, bundle: Bundle
) -> None:
    CudaDevice("cuda:1").open(bundle)
    expected = {
        "device_id": "1",
        "use_tf32": "0",
        "arena_extend_strategy": "kSameAsRequested",
        "enable_cuda_graph": "1",
    }
    assert [settings for _, settings in gpu.opened] == [expected, expected]
    with pytest.raises(RuntimeError, match="use_env_allocators"):
        gpu.options[0].get_session_config_entry("session.use_env_allocators")


def test_a_limit_is_divided_among_the_sessions_of_a_bundle(gpu: GpuRuntime, bundle: Bundle) -> None:
    CudaDevice("cuda:0", memory_limit_bytes=1001).open(bundle)
    assert [settings["gpu_mem_limit"] for _, settings in gpu.opened] == ["500", "500"]


def test_a_limit_that_does_not_hold_the_weights_of_every_graph_is_refused(gpu: GpuRuntime, bundle: Bundle) -> None:
    """48 bytes of weights, which each of the two graphs holds, and some room to compute in."""
    assert bundle.manifest.weights.bytes == 48
    CudaDevice("cuda:0", memory_limit_bytes=98).open(bundle)
    gpu.opened.clear()
    with pytest.raises(BundleError, match=r"gpu_memory_limit_bytes \(97\) .* its 2 graphs, 48 bytes each"):
        CudaDevice("cuda:0", memory_limit_bytes=97).open(bundle)
    assert gpu.opened == []


@pytest.mark.parametrize("reason", ["asked", "refused"])
def test_without_recording_a_graph_runs_as_usual(
    gpu: GpuRuntime, bundle: Bundle, caplog: pytest.LogCaptureFixture, reason: str
) -> None:
    def refuse(settings: dict[str, str]) -> None:
        if settings["enable_cuda_graph"] == "1":
            raise RuntimeError("all the compute graph nodes have not been partitioned to the CUDAExecutionProvider")

    gpu.before_open = refuse
    session: Any = CudaDevice("cuda:0", graphs=reason != "asked").open(bundle).sessions["full"]
    assert [settings["enable_cuda_graph"] for _, settings in gpu.opened] == ["0", "0"]
    assert [message.partition(", ")[0] for message in caplog.messages] == (
        []
        if reason == "asked"
        else [
            f"{bundle.name}/graph-full-fused.onnx cannot be recorded",
            f"{bundle.name}/graph-block_sparse-fused.onnx cannot be recorded",
        ]
    )
    assert session.capture([Shape(1, 4)]) == []
    np.testing.assert_array_equal(session.run(batch(ROWS))["logits"], logits(ROWS, FACTORS["full", "fused"]))


def test_a_graph_that_does_not_load_is_refused_by_name(gpu: GpuRuntime, bundle: Bundle) -> None:
    def refuse(settings: dict[str, str]) -> None:
        raise RuntimeError("CUDA failure 2: out of memory")

    gpu.before_open = refuse
    with pytest.raises(BundleError, match=r"graph-full-fused\.onnx: onnxruntime cannot load it on cuda:0: CUDA fail"):
        CudaDevice("cuda:0").open(bundle)


def test_a_graph_that_would_run_on_the_cpu_instead_is_refused(gpu: GpuRuntime, bundle: Bundle) -> None:
    gpu.providers = ["CPUExecutionProvider"]
    with pytest.raises(BundleError, match="without its CUDA provider"):
        CudaDevice("cuda:0").open(bundle)


def test_a_graph_that_does_not_fit_its_manifest_is_refused(gpu: GpuRuntime, bundle: Bundle) -> None:
    manifest = replace(bundle.manifest, outputs=[Tensor("logits", "float32", ["batch", 7])])
    with pytest.raises(BundleError, match="output logits"):
        CudaDevice("cuda:0").open(replace(bundle, manifest=manifest))


def test_a_graph_that_names_another_file_than_the_weights_is_not_loaded(gpu: GpuRuntime, bundle: Bundle) -> None:
    nodes = sums()
    nodes[-1].output[0] = "plain"
    nodes.append(helper.make_node("Add", ["plain", "table"], ["logits"]))
    write_graph(bundle.path("graph-full-fused.onnx"), nodes, table=external("extra2.bin"))
    with pytest.raises(BundleError, match=r"graph-full-fused\.onnx: takes tensors from 'extra2\.bin'"):
        CudaDevice("cuda:0").open(bundle)
    assert gpu.opened == []
