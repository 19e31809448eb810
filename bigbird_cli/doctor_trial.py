"""The part of `bigbird doctor` that needs onnxruntime: devices, what `auto` picks, and a bundle that is tried."""

import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bigbird_inference.bundle import Bundle, open_bundle
from bigbird_inference.errors import BundleError
from bigbird_inference.gpu_trial import try_rungs
from bigbird_inference.host_memory import available_bytes
from bigbird_inference.loaded_model import why_misplaced
from bigbird_inference.manifest import Manifest
from bigbird_inference.runtime import quiet_openvino
from bigbird_inference.runtime.cores import available_cores
from bigbird_inference.runtime.cpu_runtime_choice import CpuDevice, unfit_for_openvino
from bigbird_inference.runtime.cuda.features import GpuFeatures
from bigbird_inference.runtime.cuda.nvml import cuda_devices
from bigbird_inference.runtime.cuda.probe import MachineProbe
from bigbird_inference.runtime.devices import Devices, DeviceUnavailable, choose
from bigbird_inference.runtime.openvino_session import computes_bfloat16
from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime
from bigbird_inference.trial import limits_of, try_bundle
from service.models.loading import cpu_choice
from service.settings import InvalidSettings, Settings, load_settings

_OF_DEVICES = ("device", "threads", "cpu_runtime", "cpu_precision", "gpu_features", "gpu_memory_limit_bytes")


def examine_serving(folder: Path | None, root: Path) -> dict[str, Any]:
    """Return what would serve, whether the bundle in a folder would be served, and what is wrong."""
    probe = MachineProbe(root)
    problems: list[str] = []
    report: dict[str, Any] = {"problems": problems, "serves": False}
    cuda = getattr(onnxruntime, "cuda_version", "")
    built_for = f"CUDA {cuda}" if cuda else "no CUDA"
    report["onnxruntime"] = f"built for {built_for}: {', '.join(onnxruntime.get_available_providers())}"
    if cuda:
        missing = probe.missing_libraries
        report["libraries"] = f"{missing}: install the extra `gpu`" if missing else "those of CUDA and cuDNN are found"
    try:
        settings = load_settings()
        devices = choose(settings.device, probe)
    except (InvalidSettings, DeviceUnavailable, ValueError) as error:
        problems.append(str(error))
        return report | _gpus(probe)
    changed = [name for name in _OF_DEVICES if getattr(settings, name) != Settings.model_fields[name].default]
    report["settings"] = ", ".join(f"{name} {getattr(settings, name)}" for name in changed)
    report["device"] = ", ".join(map(" ".join, zip(devices.names, devices.descriptions, strict=True)))
    if devices.degraded is not None:
        problems.append(f"the CPU would serve in place of a GPU: {devices.degraded}")
    if devices.on_gpu or devices.degraded is not None:
        report |= _gpus(probe)
    report["serves"] = True
    if folder is not None:
        try:
            bundle = open_bundle(folder)
            manifest = bundle.manifest
            report["bundle"] = f"{manifest.task}, {manifest.precision}, revision {bundle.revision}"
            if (misplaced := why_misplaced(bundle.name, manifest, devices)) is not None:
                problems.append(misplaced)
            report |= _tried(bundle, devices, settings)
        except (BundleError, DeviceUnavailable, OSError) as error:
            problems.append(str(error))
            report["serves"] = False
    return report


def _tried(bundle: Bundle, devices: Devices, settings: Settings) -> dict[str, Any]:
    """Run the bundle as a start would; raises if it would not be served."""
    if devices.on_gpu:
        features, limit = GpuFeatures.parse(settings.gpu_features), settings.gpu_memory_limit_bytes
        found = try_rungs(bundle, devices.names[0], features, threading.Event(), memory_limit_bytes=limit)
        return {"features": [asdict(outcome) for outcome in found], "answers": "the first rung gives the known answers"}
    threads, choice = settings.threads or available_cores(), cpu_choice(settings)
    runtime, precision = CpuDevice(threads, choice).chosen(bundle.manifest)
    try_bundle(bundle, threads, choice, threading.Event())
    known = "the known answers are given" if bundle.manifest.known_answer else "the bundle has no known answer; it runs"
    short = limits_of(bundle.manifest, available_bytes()).ends_at_available
    room = "; less memory is available than such a bundle may take: batches will be small" if short else ""
    return {"auto picks": f"{runtime} in {precision}: {_why(bundle.manifest, runtime)}", "answers": f"{known}{room}"}


def _why(manifest: Manifest, runtime: str) -> str:
    if runtime == "openvino":
        return "measured for this bundle, and the fastest that this processor has units for"
    if not quiet_openvino.installed():
        return "OpenVINO is not installed"
    if (unfit := unfit_for_openvino(manifest)) is not None:
        return f"OpenVINO does not run it: {unfit}"
    if not any(run.precision == "bf16" for run in manifest.cpu_runs):
        return "the bundle has no figures of OpenVINO in bf16; `bigbird measure` adds them"
    return "it was asked for" if computes_bfloat16() else "this processor does not compute in bfloat16"


def _gpus(probe: MachineProbe) -> dict[str, Any]:
    """Return the driver and the GPUs, as far as they can be asked."""
    try:
        nvml = probe.load_nvml()
        cuda = nvml.nvmlSystemGetCudaDriverVersion_v2()  # 13010 is 13.1
        driver = f"{nvml.nvmlSystemGetDriverVersion()}, for CUDA up to {cuda // 1000}.{cuda % 1000 // 10}"
        gpus = []
        for number, handle in enumerate(cuda_devices(nvml)):
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            capability = ".".join(map(str, nvml.nvmlDeviceGetCudaComputeCapability(handle)))
            gpus.append(
                {
                    "name": f"cuda:{number}",
                    "model": str(nvml.nvmlDeviceGetName(handle)),
                    "compute_capability": capability,
                    "memory_bytes": int(memory.total),
                    "free_bytes": int(memory.free),
                    "problem": probe.failure_on(number),
                }
            )
    except Exception as error:  # whatever NVML, its library or a fake of it may raise
        return {"driver": f"none that answers: {error}"}
    return {"driver": driver, "gpus": gpus}
