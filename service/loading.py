"""From a folder of bundles to loaded models: find, check, open.

Everything that can be wrong with a bundle is found here, before the server listens.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from service.batching.buckets import ServedBucket
from service.bundle import MANIFEST_FILE, Bundle, Manifest, open_bundle
from service.errors import BundleError
from service.runtime.cores import available_cores
from service.runtime.cuda.device import CudaDevice
from service.runtime.cuda.probe import MachineProbe, gpu_memory
from service.runtime.devices import CPU, Devices, DeviceUnavailable, choose
from service.runtime.onnx_session import open_session
from service.runtime.session import Session
from service.runtime.session_pool import open_sessions
from service.settings import InvalidSettings, Settings, environment_name
from service.tasks.base import Task
from service.tasks.registry import create_task
from service.tokenization.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

OpenBundle = Callable[[Bundle], Mapping[int, Session]]
"""Loads every bucket of a bundle on one device."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A bundle that can be run.

    Attributes:
        name: By which requests ask for it: the bundle's folder name.
        manifest: What was exported.
        task: Encodes requests and decodes outputs.
        sessions: By padded length, ascending; one for each device, in the devices' order.
        devices: Where the sessions are.
        weights_bytes: Size of the weights, which every device holds once.
    """

    name: str
    manifest: Manifest
    task: Task[Any, Any]
    sessions: Mapping[int, Sequence[Session]]
    devices: Devices = field(default_factory=Devices)
    weights_bytes: int = 0

    def buckets(self) -> list[ServedBucket]:
        """Return the buckets for the scheduler."""
        attention = {bucket.length: bucket.attention for bucket in self.manifest.buckets}
        return [
            ServedBucket(
                self.name,
                length,
                sessions[0],
                self.manifest.tokenizer.pad_id,
                takes_positions=any(tensor.name == "positions" for tensor in self.manifest.inputs),
                attention=attention[length],
                position_bytes=_position_bytes(self.manifest),
                max_items=self.manifest.max_batch_items,
                replicas=tuple(sessions[1:]),
            )
            for length, sessions in self.sessions.items()
        ]


def _position_bytes(manifest: Manifest) -> int:
    """Return the size of the float32 outputs at one position of one sequence."""
    per_position = [tensor.shape for tensor in manifest.outputs if "positions" in tensor.shape]
    return sum(4 * math.prod(axis for axis in shape if isinstance(axis, int)) for shape in per_position)


def find_bundles(folder: Path) -> list[Path]:
    """Return the folder itself if it is a bundle, otherwise every bundle directly in it, by name.

    Raises:
        BundleError: There is none.
    """
    if (folder / MANIFEST_FILE).is_file():
        return [folder]
    # Names that begin with a dot are unfinished exports, or somebody's housekeeping.
    found = sorted(path.parent for path in folder.glob(f"[!.]*/{MANIFEST_FILE}"))
    if not found:
        state = "no bundle in it" if folder.is_dir() else "no such folder"
        raise BundleError(f"{folder.absolute()}: {state}; `bigbird export` writes one")
    return found


def choose_devices(settings: Settings) -> Devices:
    """Return the devices that the settings ask for, as far as they can be used.

    Raises:
        InvalidSettings: What was asked for by name cannot be used; the message says why.
    """
    try:
        devices = choose(settings.device, MachineProbe())
    except (DeviceUnavailable, ValueError) as error:
        raise InvalidSettings(f"{environment_name('device')}: {error}") from error
    logger.info("serving on %s", ", ".join(map(" ".join, zip(devices.names, devices.descriptions, strict=True))))
    return devices


def load_models(settings: Settings, devices: Devices | None = None) -> dict[str, LoadedModel]:
    """Load every bundle under the configured folder on every device, by name.

    Args:
        settings: The service's settings.
        devices: Where to load them, or None to choose by the settings.

    Raises:
        BundleError: A bundle cannot be served; the message names the file.
        InvalidSettings: The asked device is not there.
    """
    bundles = [open_bundle(folder) for folder in find_bundles(settings.models)]
    names = [bundle.name for bundle in bundles]
    for number, bundle in enumerate(bundles):
        if bundle.name in names[:number]:
            raise BundleError(f"{bundle.folder}: another bundle is named {bundle.name!r} already")
    devices = choose_devices(settings) if devices is None else devices
    openers = device_openers(settings, devices, sum(bundle.manifest.weights.bytes for bundle in bundles))
    return {bundle.name: load_model(bundle, settings, devices, openers) for bundle in bundles}


def device_openers(settings: Settings, devices: Devices, weights_bytes: int) -> list[OpenBundle]:
    """Return what loads bundles on each device; all bundles of a device must be loaded by the same one.

    Args:
        settings: The service's settings.
        devices: Where to load them.
        weights_bytes: Of all bundles together.

    Raises:
        InvalidSettings: The weights alone are more than a GPU may take.
    """
    if not devices.on_gpu:
        opener = partial(open_session, device=CPU, threads=settings.threads or available_cores())
        return [partial(open_sessions, open_session=opener)]
    limit = settings.gpu_memory_limit_bytes
    if limit and limit <= weights_bytes:
        raise InvalidSettings(
            f"{environment_name('gpu_memory_limit_bytes')}: the weights of all models take {weights_bytes} bytes, the "
            f"limit is {limit}"
        )
    return [
        CudaDevice(
            name,
            gpu_memory(name),
            memory_limit_bytes=limit and limit - weights_bytes,
            graphs=settings.cuda_graphs,
            max_items=settings.max_batch_items,
            max_tokens=settings.max_batch_tokens,
        ).open
        for name in devices.names
    ]


def load_model(
    bundle: Bundle, settings: Settings, devices: Devices | None = None, openers: Sequence[OpenBundle] | None = None
) -> LoadedModel:
    """Open a checked bundle's tokenizer and graphs.

    Args:
        bundle: The bundle.
        settings: The service's settings.
        devices: Where to load it, or None to choose by the settings.
        openers: What loads it on each device; None where no other bundle is loaded beside it.

    Raises:
        BundleError: The tokenizer or a graph cannot be used.
        InvalidSettings: The asked device is not there.
    """
    tokenizer = Tokenizer.from_bundle(bundle)
    try:
        task = create_task(bundle.manifest, tokenizer)
    except BundleError as error:
        raise BundleError(f"{bundle.path(MANIFEST_FILE)}: {error}") from error
    devices = choose_devices(settings) if devices is None else devices
    openers = openers or device_openers(settings, devices, bundle.manifest.weights.bytes)
    opened = [open_bundle_on(bundle) for open_bundle_on in openers]
    sessions = {length: [own[length] for own in opened] for length in opened[0]}
    logger.info("loaded model %s for %s with buckets %s", bundle.name, bundle.manifest.task, list(sessions))
    return LoadedModel(bundle.name, bundle.manifest, task, sessions, devices, bundle.manifest.weights.bytes)
