from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from bigbird_inference.runtime.cuda.probe import TRIAL_GRAPH, MachineProbe
from bigbird_inference.runtime.devices import DeviceUnavailable
from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime
from tests.bigbird_inference.runtime.cuda.fake_nvml import FakeNvml

CUDA = "CUDAExecutionProvider"
MISSING = "Failed to load libcublas.so.13: cannot open shared object file"


@pytest.fixture(autouse=True)
def providers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An onnxruntime that was built for CUDA 13, as long as the provider is in this list."""
    found = [CUDA, "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: found)
    monkeypatch.setattr("onnxruntime.cuda_version", "13.0")
    monkeypatch.setattr("onnxruntime.preload_dlls", lambda: None)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return found


class TrialSession:
    """onnxruntime's session on a GPU that works, but for what a test changes."""

    providers: tuple[str, ...] = (CUDA, "CPUExecutionProvider")
    double: Callable[[np.ndarray], np.ndarray] = staticmethod(lambda x: 2 * x)

    def __init__(self, graph: bytes, options: object, *, providers: list[Any], enable_fallback: int) -> None:
        assert (graph, providers, enable_fallback) == (TRIAL_GRAPH, [(CUDA, {"device_id": "3"})], 0)

    def get_providers(self) -> tuple[str, ...]:
        return self.providers

    def run(self, outputs: None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        return [type(self).double(feeds["x"])]


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> type[TrialSession]:
    session = type("Session", (TrialSession,), {})
    monkeypatch.setattr("onnxruntime.InferenceSession", session)
    return session


def test_the_trial_graph_is_a_valid_model_that_doubles() -> None:
    onnx.checker.check_model(onnx.load_from_string(TRIAL_GRAPH))
    session = onnxruntime.InferenceSession(TRIAL_GRAPH, providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.array([21], dtype=np.float32)})[0].tolist() == [42.0]


def test_gpus_are_counted_and_described(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nmodel name\t: A Processor of a Test\n")
    probe = MachineProbe(tmp_path, FakeNvml)
    assert probe.count_gpus() == 3
    assert probe.describe("cuda:1") == "the GPU GPU-ab-2"
    assert probe.describe("cpu") == "A Processor of a Test"


def test_what_cannot_be_described_is_unknown(tmp_path: Path) -> None:
    def missing() -> Any:
        raise DeviceUnavailable("there is no NVIDIA driver")

    probe = MachineProbe(tmp_path, missing)
    assert probe.describe("cuda:0") == "unknown GPU"
    assert probe.describe("cpu") == "unknown processor"
    assert MachineProbe(tmp_path, FakeNvml).describe("cuda:3") == "unknown GPU"


@pytest.mark.parametrize("file", ["dev/nvidia0", "dev/dxg", "proc/driver/nvidia/version"])
def test_a_gpu_is_expected_where_a_device_or_a_driver_shows(tmp_path: Path, providers: list[str], file: str) -> None:
    providers.remove(CUDA)
    assert not MachineProbe(tmp_path).gpu_expected()
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).touch()
    assert MachineProbe(tmp_path).gpu_expected()


def test_a_gpu_is_expected_by_a_runtime_that_was_built_for_one(tmp_path: Path) -> None:
    assert MachineProbe(tmp_path).gpu_expected()


def test_a_driver_that_is_too_old_is_named_with_its_version(tmp_path: Path) -> None:
    nvml = FakeNvml()
    nvml.cuda_version = 12080
    with pytest.raises(DeviceUnavailable, match=r"NVIDIA driver 535\.183\.01 is too old for CUDA 13\.0"):
        MachineProbe(tmp_path, lambda: nvml).count_gpus()


def test_within_a_major_version_of_cuda_every_driver_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.cuda_version", "13.9")
    assert MachineProbe(load_nvml=FakeNvml).count_gpus() == 3


def test_a_runtime_without_cuda_is_told_apart_from_one_that_is_hidden(
    monkeypatch: pytest.MonkeyPatch, providers: list[str]
) -> None:
    providers.remove(CUDA)
    installed: dict[str, str] = {}

    def version(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr("importlib.metadata.version", version)
    with pytest.raises(DeviceUnavailable, match="the installed onnxruntime was built without CUDA"):
        MachineProbe(load_nvml=FakeNvml).count_gpus()
    installed["onnxruntime-gpu"] = "1.31.1"
    with pytest.raises(DeviceUnavailable, match="another package lies over it"):
        MachineProbe(load_nvml=FakeNvml).count_gpus()


def test_packages_that_overwrite_each_other_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "bigbird_inference.runtime.devices._is_installed", {"onnxruntime", "onnxruntime-gpu"}.__contains__
    )
    assert "overwrite each other" in str(MachineProbe().conflict())


def test_a_gpu_that_computes_passes_the_trial(trial: type[TrialSession]) -> None:
    assert MachineProbe().failure_on(3) is None


def test_a_gpu_that_computes_something_else_fails(trial: type[TrialSession]) -> None:
    trial.double = staticmethod(lambda x: x)
    assert MachineProbe().failure_on(3) == "1 + 1 is [1.0] there"


def test_a_trial_that_fails_says_what_onnxruntime_says(trial: type[TrialSession]) -> None:
    def fail(x: np.ndarray) -> np.ndarray:
        raise RuntimeError("CUDA failure 2: out of memory")

    trial.double = staticmethod(fail)
    assert MachineProbe().failure_on(3) == "CUDA failure 2: out of memory"


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        pytest.param(
            f"{MISSING}\nPlease follow https://onnxruntime.ai",
            f"its CUDA provider does not start; {MISSING}: install the extra `gpu`",
            id="a library is missing",
        ),
        pytest.param("", "its CUDA provider does not start; the lines above say why", id="nobody knows"),
    ],
)
def test_a_provider_that_does_not_start_is_told_with_the_library_that_is_missing(
    trial: type[TrialSession],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    printed: str,
    reason: str,
) -> None:
    monkeypatch.setattr("onnxruntime.preload_dlls", lambda: print(printed))
    trial.providers = ("CPUExecutionProvider",)
    assert MachineProbe().failure_on(3) == reason
    assert capsys.readouterr().out == "", "what onnxruntime prints is not an output of the service"


def test_an_onnxruntime_without_cuda_fails_its_trial() -> None:
    failure = MachineProbe().failure_on(0)
    assert failure is not None
    assert "CUDA" in failure
