"""What is onnxruntime's alone; what every session does on a CPU is in `test_cpu_sessions`."""

import re
from pathlib import Path
from typing import Any

import pytest

from bigbird_inference.manifest import Manifest
from bigbird_inference.runtime.devices import DeviceUnavailable
from bigbird_inference.runtime.onnx_session import OnnxSession, execution_providers, open_session
from bigbird_inference.runtime.session import OutOfMemory, RunControl, RunTerminated
from tests.bigbird_inference.runtime.small_graphs import (
    batch_of_ids,
    counting_batch,
    in_a_loop,
    in_memory,
    save_counting_graph,
    save_graph_of_ids,
)
from tests.bigbird_inference.runtime.test_cpu_sessions import ControlInAnotherThread


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    return tmp_path / "graph-8.onnx"


@pytest.fixture
def manifest(graph: Path) -> Manifest:
    """Of the graph of ids, which is written, too."""
    return save_graph_of_ids(graph)


def counting(folder: Path, nodes: list[Any]) -> OnnxSession:
    manifest = save_counting_graph(folder / "graph-4.onnx", nodes)
    return open_session(folder / "graph-4.onnx", manifest, device="cpu", threads=1)


def test_a_run_is_ended_within_a_loop_and_the_session_runs_again(tmp_path: Path) -> None:
    session = counting(tmp_path, in_a_loop())
    # So many steps would take thousands of years.
    with pytest.raises(RunTerminated):
        session.run(counting_batch(2**60), ControlInAnotherThread())
    assert session.run(counting_batch(3), RunControl())["logits"].tolist() == [[3.0] * 4]


def test_out_of_memory_is_said_and_the_session_runs_again(tmp_path: Path) -> None:
    session = counting(tmp_path, in_memory())
    # Four petabytes are more than an address space holds, however generous the system is with promises.
    with pytest.raises(OutOfMemory):
        session.run(counting_batch(2**50))
    assert session.run(counting_batch(5))["logits"].tolist() == [[5.0] * 4]


class FailingSession:
    """Stands for onnxruntime's session on a device that is not here; every run fails with the same text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def get_inputs(self) -> list[Any]:
        return []

    def get_outputs(self) -> list[Any]:
        return []

    def run(self, *arguments: object) -> None:
        raise RuntimeError(self._text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            "bfc_arena.cc:360 AllocateRawInternal Failed to allocate memory for requested buffer of size 4096",
            id="an arena whose device gave it nothing",
        ),
        pytest.param(
            "bfc_arena.cc:347 Available memory of 1024 is smaller than requested bytes of 4096", id="a limited arena"
        ),
        pytest.param("Status Message: std::bad_alloc", id="no arena"),
        pytest.param("CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc((void**)&p, size);", id="cuda"),
        pytest.param("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0 ; expr=cublasCreate", id="a CUDA library"),
    ],
)
def test_out_of_memory_is_understood_however_it_is_said(text: str) -> None:
    with pytest.raises(OutOfMemory, match=re.escape(text)):
        OnnxSession(FailingSession(text)).run(batch_of_ids())


def test_any_other_failure_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="indices element out of data bounds"):
        OnnxSession(FailingSession("Gather: indices element out of data bounds, idx=9")).run(batch_of_ids())


def test_a_gpu_where_onnxruntime_has_no_cuda_is_refused(
    graph: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    assert execution_providers("cpu") == ["CPUExecutionProvider"]
    with pytest.raises(DeviceUnavailable, match="cuda:1 was asked for"):
        open_session(graph, manifest, device="cuda:1", threads=1)


@pytest.mark.parametrize(("device", "number"), [("cuda", "0"), ("cuda:0", "0"), ("cuda:3", "3")])
def test_a_gpu_is_asked_for_exact_products_and_the_cpu_for_the_rest(
    device: str, number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: providers)
    assert execution_providers(device) == [
        ("CUDAExecutionProvider", {"device_id": number, "use_tf32": "0"}),
        "CPUExecutionProvider",
    ]
    assert execution_providers("cpu") == ["CPUExecutionProvider"]


def test_a_gpu_that_onnxruntime_does_not_start_is_refused(
    graph: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "bigbird_inference.runtime.onnx_session.execution_providers", lambda device: ["CPUExecutionProvider"]
    )
    with pytest.raises(DeviceUnavailable, match="could not start it"):
        open_session(graph, manifest, device="cuda:0", threads=1)
