"""The model of a job: opened as the server opens it, so that both give the same numbers."""

from pathlib import Path

from bigbird_inference.bundle import open_bundle
from bigbird_inference.errors import BundleError, ServiceError
from bigbird_inference.known_answer import check_known_answer
from bigbird_inference.loaded_model import LoadedModel, device_openers, open_model
from bigbird_inference.runtime.cpu_runtime_choice import CpuChoice
from bigbird_inference.runtime.cuda.probe import MachineProbe
from bigbird_inference.runtime.devices import DeviceUnavailable, choose
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
        model = open_model(open_bundle(folder), devices, device_openers(devices, threads=threads, cpu=cpu))
        for number in range(len(devices.names)):
            sessions = {kind: own[number] for kind, own in model.sessions.items()}
            with bundle_blamed(f"{folder}: the model cannot be run"):
                check_known_answer(model.manifest, sessions)
    except (BundleError, DeviceUnavailable, DeviceLost, OutOfMemory, ServiceError, ValueError) as error:
        raise JobError(str(error)) from error
    return model
