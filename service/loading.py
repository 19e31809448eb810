"""From a folder of bundles to loaded models: find, check, open.

Everything that can be wrong with a bundle's files is found here, before it serves.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from service.batching.buckets import ModelVersion, ServedBucket
from service.batching.resident_memory import available_bytes
from service.bundle import MANIFEST_FILE, Attention, Bucket, Bundle, Manifest, open_bundle
from service.bundle_files import FileState, ensure_same_files
from service.errors import BundleError
from service.model_folder import bundle_folder, find_bundles, model_name
from service.runtime.cores import available_cores
from service.runtime.cuda.device import CudaDevice
from service.runtime.cuda.probe import MachineProbe
from service.runtime.devices import CPU, Devices, DeviceUnavailable, choose
from service.runtime.graph_sessions import open_sessions, served_kernel
from service.runtime.onnx_session import open_session
from service.runtime.session import OutOfMemory, Session
from service.settings import InvalidSettings, Settings, environment_name
from service.tasks.base import Task
from service.tasks.registry import create_task
from service.tokenization.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

OpenBundle = Callable[[Bundle], Mapping[Attention, Session]]
"""Loads the graphs of a bundle on one device."""

# An axis of a CUDA grid, along which the fused kernels lay out sequences times heads.
_LONGEST_GRID_AXIS = 65_535


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A bundle that can be run.

    Attributes:
        name: By which requests ask for it: the bundle's folder name.
        manifest: What was exported.
        task: Encodes requests and decodes outputs.
        sessions: By kind of attention; one for each device, in the devices' order.
        devices: Where the sessions are.
        weights_bytes: Size of the weights, which every device holds once.
        files: What it was loaded from; `service.bundle_watch` notices if somebody writes into them.
        version: How often a model of this name has been loaded, this time included.
    """

    name: str
    manifest: Manifest
    task: Task[Any, Any]
    sessions: Mapping[Attention, Sequence[Session]]
    devices: Devices = field(default_factory=Devices)
    weights_bytes: int = 0
    files: tuple[FileState, ...] = ()
    version: int = 1

    @property
    def model_version(self) -> ModelVersion:
        """What no other loaded model is."""
        return ModelVersion(self.name, self.version)

    @property
    def lengths(self) -> list[int]:
        """Padded lengths of the buckets, ascending."""
        return sorted(bucket.length for bucket in self.manifest.buckets)

    def buckets(self) -> list[ServedBucket]:
        """Return the buckets for the scheduler, ascending."""
        return [
            ServedBucket(
                self.name,
                bucket.length,
                self.sessions[bucket.attention][0],
                self.manifest.tokenizer.pad_id,
                takes_positions=any(tensor.name == "positions" for tensor in self.manifest.inputs),
                attention=bucket.attention,
                position_bytes=_position_bytes(self.manifest),
                max_items=self._most_items(bucket),
                replicas=tuple(self.sessions[bucket.attention][1:]),
                version=self.version,
            )
            for bucket in sorted(self.manifest.buckets, key=lambda bucket: bucket.length)
        ]

    def _most_items(self, bucket: Bucket) -> int | None:
        """Return the largest batch that does not change a document's numbers, and that the kernels can lay out."""
        manifest = self.manifest
        if not self.devices.on_gpu or served_kernel(manifest, "fused") != "fused":
            return manifest.max_batch_items
        rows = 1 if bucket.attention == "full" else bucket.length // manifest.block_size - 2
        most = _LONGEST_GRID_AXIS // (rows * manifest.model["num_attention_heads"])
        return min(most, manifest.max_batch_items or most)


def _position_bytes(manifest: Manifest) -> int:
    """Return the size of the float32 outputs at one position of one sequence."""
    per_position = [tensor.shape for tensor in manifest.outputs if "positions" in tensor.shape]
    return sum(4 * math.prod(axis for axis in shape if isinstance(axis, int)) for shape in per_position)


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


class ModelLoader:
    """Loads bundles by name, at start and while others are served, always on the same devices.

    Args:
        settings: The service's settings.
        devices: Where to load, or None to choose by the settings when the first bundle is loaded.
    """

    def __init__(self, settings: Settings, devices: Devices | None = None) -> None:
        self._settings = settings
        self._devices = devices
        self._openers: Sequence[OpenBundle] | None = None

    def load_all(self) -> dict[str, LoadedModel]:
        """Load every bundle under the configured folder, by name.

        Raises:
            BundleError: A bundle cannot be served; the message names the file.
            InvalidSettings: The asked device is not there.
        """
        bundles = {model_name(folder): open_bundle(folder) for folder in find_bundles(self._settings.models)}
        return {name: replace(self._load(bundle), name=name) for name, bundle in bundles.items()}

    def load(self, name: str) -> LoadedModel:
        """Load the bundle of a name beside what is served; another thread's work, because it takes seconds.

        Raises:
            ModelNotFound: No bundle of that name is in the folder.
            BundleError: It cannot be served.
            OutOfMemory: There is no room for it.
        """
        bundle = open_bundle(bundle_folder(self._settings.models, name))
        self._ensure_room(bundle.manifest)
        return replace(self._load(bundle), name=name)

    def _load(self, bundle: Bundle) -> LoadedModel:
        if self._devices is None:
            self._devices = choose_devices(self._settings)
        if self._openers is None:
            self._openers = device_openers(self._settings, self._devices)
        return load_model(bundle, self._settings, self._devices, self._openers)

    def _ensure_room(self, manifest: Manifest) -> None:
        """Refuse what would make the system end the process; on a GPU, its own allocation fails instead."""
        if self._devices is not None and self._devices.on_gpu:
            return
        available = available_bytes()
        if available is not None and available < manifest.weights.bytes:
            raise OutOfMemory(f"the weights take {manifest.weights.bytes} bytes, and {available} are available")


def load_models(settings: Settings, devices: Devices | None = None) -> dict[str, LoadedModel]:
    """Load every bundle under the configured folder on every device, by name; see `ModelLoader.load_all`.

    Args:
        settings: The service's settings.
        devices: Where to load them, or None to choose by the settings.
    """
    return ModelLoader(settings, devices).load_all()


def device_openers(settings: Settings, devices: Devices) -> list[OpenBundle]:
    """Return what loads bundles on each device.

    Args:
        settings: The service's settings.
        devices: Where to load them.
    """
    if not devices.on_gpu:
        opener = partial(open_session, device=CPU, threads=settings.threads or available_cores())
        return [partial(open_sessions, open_session=opener)]
    limit, graphs = settings.gpu_memory_limit_bytes, settings.cuda_graphs
    return [CudaDevice(name, memory_limit_bytes=limit, graphs=graphs).open for name in devices.names]


def load_model(
    bundle: Bundle, settings: Settings, devices: Devices | None = None, openers: Sequence[OpenBundle] | None = None
) -> LoadedModel:
    """Open a checked bundle's tokenizer and graphs.

    Args:
        bundle: The bundle.
        settings: The service's settings.
        devices: Where to load it, or None to choose by the settings.
        openers: What loads it on each device; None to make them.

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
    openers = openers or device_openers(settings, devices)
    opened = [open_bundle_on(bundle) for open_bundle_on in openers]
    # They were opened by name, and what was compared with the hashes may have been replaced since.
    ensure_same_files(bundle.files)
    sessions = {attention: [own[attention] for own in opened] for attention in opened[0]}
    logger.info("loaded model %s for %s", bundle.name, bundle.manifest.task)
    weights_bytes = bundle.manifest.weights.bytes
    return LoadedModel(bundle.name, bundle.manifest, task, sessions, devices, weights_bytes, bundle.files)
