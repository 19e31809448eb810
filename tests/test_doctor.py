"""`bigbird doctor` on machines of all kinds: words without a traceback, and a status that scripts can rely on."""

import json
import platform
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bigbird_cli import doctor_command
from bigbird_cli.main import main
from bigbird_inference.bundle import read_manifest, write_manifest
from bigbird_inference.errors import BundleError
from bigbird_inference.runtime.cuda.features import GpuFeatures, RungOutcome
from bigbird_inference.runtime.cuda.probe import MachineProbe
from bigbird_inference.runtime.devices import Devices
from tests.bigbird_inference.runtime.cuda.fake_nvml import FakeNvml
from tests.hostile_bundles import sums, write_bundle


def doctor(*arguments: str | Path) -> tuple[int, str]:
    """Return the status and what was printed, on lines that are joined."""
    result = CliRunner().invoke(main, ["doctor", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "reports", sums())
    return tmp_path / "reports"


def test_a_bundle_that_would_serve_is_told_with_what_auto_picks(bundle: Path) -> None:
    status, said = doctor(bundle)
    assert status == 0
    assert "bundle classify, fp32, revision" in said
    assert "auto picks onnxruntime in fp32: " in said
    assert said.endswith("result would serve")


def test_as_json_everything_is_there_and_nobody_is_named(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "node", lambda: "rosalind")
    monkeypatch.setenv("USER", "franklin")
    status, said = doctor(bundle, "--json")
    report = json.loads(said)
    assert status == 0 and report["serves"] is True and report["problems"] == []
    assert set(report["cpu"]) >= {"processor", "instruction_sets", "cores", "cores_available", "memory_bytes"}
    assert not any(name in said for name in ("rosalind", "franklin", str(bundle.parent)))


def test_names_of_hosts_users_and_folders_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "node", lambda: "rosalind")
    monkeypatch.setenv("USER", "franklin")
    text = (
        "CUDA failure 2: out of memory ; GPU=0 ; hostname=rosalind ; expr=cudaMalloc; see /home/franklin/b/x.onnx, "
        "pip install '/srv/rosalind/bigbird-serve[gpu]' or /dev/nvidia0 of rosalind; docs/running.md; http://a.b/c/d"
    )
    assert doctor_command.anonymous(text) == (
        "CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc; see path/to/x.onnx, "
        "pip install 'path/to/bigbird-serve[gpu]' or /dev/nvidia0 of ...; docs/running.md; http://a.b/c/d"
    )


def test_both_packages_of_onnxruntime_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = ("onnxruntime", "onnxruntime-gpu")
    monkeypatch.setattr("bigbird_inference.runtime.devices._is_installed", lambda name: name in installed)
    monkeypatch.setenv("BIGBIRD_DEVICE", "cuda")
    status, said = doctor()
    assert status == 1
    assert "problem onnxruntime and onnxruntime-gpu are installed together and overwrite each other: run `pip" in said


@pytest.mark.parametrize("both", [False, True], ids=["none is installed", "two have broken each other"])
def test_without_an_onnxruntime_that_can_be_imported_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, both: bool
) -> None:
    if both:
        monkeypatch.setattr("bigbird_inference.runtime.devices._is_installed", lambda name: "rocm" not in name)
    for module in [name for name in sys.modules if name.startswith(("bigbird_cli.doctor_trial", "service"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "bigbird_inference.runtime.quiet_onnxruntime", None)
    for module in [name for name in sys.modules if name.startswith("bigbird_inference.") and "onnx" in name]:
        monkeypatch.setitem(sys.modules, module, None)
    status, said = doctor()
    assert status == 1
    assert ("are installed together" if both else "install the extra `cpu`, or on a GPU host `gpu`") in said


def test_a_bundle_for_gpus_is_told_to_be_on_the_wrong_device(bundle: Path) -> None:
    write_manifest(replace(read_manifest(bundle), precision="fp16"), bundle)
    status, said = doctor(bundle)
    assert status == 0
    assert "problem model reports is in fp16, which is for GPUs, and this is a CPU; serve it on a GPU, or exp" in said


def test_a_bundle_of_another_format_version_is_refused(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"format_version": 7}))
    status, said = doctor(bundle)
    assert status == 1
    assert "problem path/to/manifest.json: format_version is 7; this version reads 2: export the checkpoint ag" in said


def test_a_bundle_that_is_not_there_is_refused(tmp_path: Path) -> None:
    status, said = doctor(tmp_path / "nothing")
    assert status == 1
    assert "problem path/to/" in said


def test_in_a_container_of_one_core_and_two_gigabytes_it_says_so(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_command, "available_cores", lambda: 1)
    for module in ("bigbird_cli.doctor_command", "bigbird_cli.doctor_trial"):
        monkeypatch.setattr(f"{module}.available_bytes", lambda: 2 * 2**30)
    status, said = doctor(bundle)
    assert status == 0
    assert "cores 1 of " in said
    assert "memory 2.0 GiB of " in said
    # A bundle that may take more than there is serves, too, in smaller batches.
    monkeypatch.setattr("bigbird_cli.doctor_trial.available_bytes", lambda: 2**20)
    assert "less memory is available than such a bundle may take" in doctor(bundle)[1]


@pytest.mark.parametrize("mark", ["file", "container", "KUBERNETES_SERVICE_HOST"])
def test_containers_of_all_kinds_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    for variable in ("container", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(variable, raising=False)
    assert not doctor_command.examine(None, tmp_path)["container"]["inside"]
    if mark == "file":
        (tmp_path / ".dockerenv").touch()
    else:
        monkeypatch.setenv(mark, "here")
    assert doctor_command.examine(None, tmp_path)["container"]["inside"]


def test_a_setting_that_is_invalid_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGBIRD_THREADS", "many")
    status, said = doctor()
    assert status == 1
    assert "problem BIGBIRD_THREADS: " in said


class Nvml(FakeNvml):
    def nvmlDeviceGetCudaComputeCapability(self, handle: str) -> tuple[int, int]:
        return (9, 0)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three GPUs, of which the first serves."""
    monkeypatch.setattr("bigbird_cli.doctor_trial.MachineProbe", lambda root: MachineProbe(root, Nvml))
    monkeypatch.setattr("bigbird_inference.runtime.cuda.probe._built_for_cuda", lambda: True)
    monkeypatch.setattr("bigbird_inference.runtime.cuda.probe.onnxruntime.cuda_version", "13.0")
    monkeypatch.setattr("bigbird_inference.runtime.cuda.probe.onnxruntime.preload_dlls", lambda: None)
    monkeypatch.setattr(MachineProbe, "failure_on", lambda self, gpu: None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    monkeypatch.setenv("BIGBIRD_DEVICE", "cuda:0")


@pytest.mark.usefixtures("gpus")
def test_on_a_gpu_driver_cards_and_features_are_told(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tried(given: Any, device: str, features: GpuFeatures, *others: Any, **options: Any) -> list[RungOutcome]:
        assert (given.folder.name, device, features) == ("reports", "cuda:0", GpuFeatures())
        return [
            RungOutcome("fused_attention", "on", "", 0.002, 0.5, 1.0),
            RungOutcome("cuda_graphs", "failed", "the process that tried it ended with signal 11"),
        ]

    monkeypatch.setattr("bigbird_cli.doctor_trial.try_rungs", tried)
    status, said = doctor(bundle)
    assert status == 0
    assert "onnxruntime built for CUDA 13.0: " in said
    assert "libraries those of CUDA and cuDNN are found driver 535.183.01, for CUDA up to 13.1" in said
    assert "cuda:0 the GPU GPU-aa-1, compute capability 9.0, 0.0 GiB of 0.0 GiB free; runs an operator" in said
    assert "feature fused_attention: on; differs by 0.002; 500 ms in place of 1e+03" in said
    assert "feature cuda_graphs: failed; the process that tried it ended with signal 11" in said


@pytest.mark.usefixtures("gpus")
def test_a_library_of_cuda_that_is_missing_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = "Failed to load libcublas.so.13: cannot open shared object file"
    monkeypatch.setattr("bigbird_inference.runtime.cuda.probe.onnxruntime.preload_dlls", lambda: print(missing))
    assert f"libraries {missing}: install the extra `gpu`" in doctor()[1]


@pytest.mark.usefixtures("gpus")
def test_a_bundle_whose_first_rung_fails_would_not_serve(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: Any, **options: Any) -> list[RungOutcome]:
        raise BundleError(f"{bundle}: on cuda:0: the known answer is not reproduced")

    monkeypatch.setattr("bigbird_cli.doctor_trial.try_rungs", refused)
    status, said = doctor(bundle)
    assert status == 1
    assert "problem path/to/reports: on cuda:0: the known answer is not reproduced" in said


def test_a_gpu_that_cannot_be_used_is_told_though_the_cpu_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    degraded = replace(Devices(("cpu",), None, ("a processor",)), degraded="the NVIDIA driver is too old")
    monkeypatch.setattr("bigbird_cli.doctor_trial.choose", lambda asked, probe: degraded)
    status, said = doctor()
    assert status == 0
    assert "problem the CPU would serve in place of a GPU: the NVIDIA driver is too old" in said
