"""The model of a job: opened as the server opens it, so that both give the same numbers."""

import threading
from collections.abc import Mapping
from pathlib import Path

from bigbird_inference.bundle import Bundle, open_bundle
from bigbird_inference.errors import BundleError, ServiceError
from bigbird_inference.gpu_trial import try_rungs
from bigbird_inference.known_answer import check_known_answer, climb
from bigbird_inference.loaded_model import LoadedModel, device_openers, open_model
from bigbird_inference.runtime.cpu_runtime_choice import CpuChoice
from bigbird_inference.runtime.cuda.features import GpuFeatures, RungName, RungOutcome
from bigbird_inference.runtime.cuda.probe import MachineProbe
from bigbird_inference.runtime.devices import Devices, DeviceUnavailable, choose
from bigbird_inference.runtime.session import DeviceLost, OutOfMemory, bundle_blamed
from bulk.errors import JobError


def load(folder: Path, *, device: str = "auto", threads: int = 0, cpu: CpuChoice | None = None) -> LoadedModel:
    """Check a bundle's files, load it on the devices, and ask it its known answer on each.

    Args:
        folder: The bundle.
        device: As `bigbird serve` takes it.
        threads: Threads of a run on the CPU; 0 for one per available core.
        cpu: What runs it on the CPU.

    Raises:
        JobError: It cannot be used.
    """
    try:
        devices = choose(device, MachineProbe())
        bundle = open_bundle(folder)
        openers = device_openers(devices, threads=threads, cpu=cpu, withheld=_unsound_rungs(bundle, devices))
        model = open_model(bundle, devices, openers)
        for number in range(len(devices.names)):
            with bundle_blamed(f"{folder}: the model cannot be run"):
                if model.ladders:
                    climb(model.ladders[number])
                else:
                    check_known_answer(model.manifest, {kind: own[number] for kind, own in model.sessions.items()})
    except (BundleError, DeviceUnavailable, DeviceLost, OutOfMemory, ServiceError, ValueError) as error:
        raise JobError(str(error)) from error
    return model


def _unsound_rungs(bundle: Bundle, devices: Devices) -> Mapping[RungName, RungOutcome]:
    """Try a GPU's rungs in another process, on the first GPU, and return those that are not to be used."""
    if not devices.on_gpu:
        return {}
    tried = try_rungs(bundle, devices.names[0], GpuFeatures(), threading.Event())
    return {outcome.rung: outcome for outcome in tried if outcome.state != "on"}
