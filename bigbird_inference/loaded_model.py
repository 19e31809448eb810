"""A bundle that can be run: its task and its sessions, without HTTP or scheduling."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bigbird_inference.buckets import ModelVersion, ServedBucket
from bigbird_inference.bundle import Bundle
from bigbird_inference.bundle_files import FileState, ensure_same_files
from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import MANIFEST_FILE, Attention, CpuPrecision, CpuRuntime, Manifest, Precision
from bigbird_inference.runtime.cores import available_cores
from bigbird_inference.runtime.cpu_runtime_choice import CpuChoice, CpuDevice
from bigbird_inference.runtime.cuda.device import CudaDevice
from bigbird_inference.runtime.cuda.features import GpuFeatures, RungName, RungOutcome
from bigbird_inference.runtime.cuda.ladder import Ladder
from bigbird_inference.runtime.devices import Devices
from bigbird_inference.runtime.graph_sessions import OpenedGraphs
from bigbird_inference.runtime.session import Session
from bigbird_inference.tasks.base import Task
from bigbird_inference.tasks.registry import create_task
from bigbird_inference.tokenization.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

OpenBundle = Callable[[Bundle], OpenedGraphs]
"""Loads the graphs of a bundle on one device."""

_FOR_GPUS: frozenset[Precision] = frozenset({"fp16", "bf16"})


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A bundle that can be run.

    Attributes:
        name: By which requests ask for it: the bundle's folder name.
        manifest: What was exported, as it holds on the devices.
        task: Encodes requests and decodes outputs.
        sessions: By kind of attention; one for each device, in the devices' order.
        devices: Where the sessions are.
        weights_bytes: Size of the weights, which every device holds once.
        files: What it was loaded from; `service.models.bundle_watch` notices if somebody writes into them.
        revision: Which bundle of its name it is (`bigbird_inference.bundle`).
        runtime: What runs its graphs.
        computes_in: What that computes in where a graph has float32.
        version: How often a model of this name has been loaded, this time included.
        ladders: The rungs on each GPU, in the devices' order; none on a CPU.
    """

    name: str
    manifest: Manifest
    task: Task[Any, Any]
    sessions: Mapping[Attention, Sequence[Session]]
    devices: Devices = field(default_factory=Devices)
    weights_bytes: int = 0
    files: tuple[FileState, ...] = ()
    revision: str = ""
    runtime: CpuRuntime = "onnxruntime"
    computes_in: CpuPrecision = "fp32"
    version: int = 1
    ladders: tuple[Ladder, ...] = ()

    @property
    def model_version(self) -> ModelVersion:
        """What no other loaded model is."""
        return ModelVersion(self.name, self.version)

    @property
    def lengths(self) -> list[int]:
        """Padded lengths of the buckets, ascending."""
        return sorted(bucket.length for bucket in self.manifest.buckets)

    @property
    def misplaced(self) -> str | None:
        """Why it is not on the kind of device that it was made for, or None."""
        return why_misplaced(self.name, self.manifest, self.devices)

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
                max_items=self.manifest.max_batch_items,
                replicas=tuple(self.sessions[bucket.attention][1:]),
                version=self.version,
            )
            for bucket in sorted(self.manifest.buckets, key=lambda bucket: bucket.length)
        ]


def why_misplaced(name: str, manifest: Manifest, devices: Devices) -> str | None:
    """Return why a model is not on the kind of device that it was made for, or None."""
    if devices.on_gpu or manifest.precision not in _FOR_GPUS:
        return None
    return (
        f"model {name} is in {manifest.precision}, which is for GPUs, and this is a CPU; serve it on a GPU, or export "
        "it with --precision fp32 or int8"
    )


def _position_bytes(manifest: Manifest) -> int:
    """Return the size of the float32 outputs at one position of one sequence."""
    per_position = [tensor.shape for tensor in manifest.outputs if "positions" in tensor.shape]
    return sum(4 * math.prod(axis for axis in shape if isinstance(axis, int)) for shape in per_position)


def device_openers(
    devices: Devices,
    *,
    threads: int = 0,
    cpu: CpuChoice | None = None,
    memory_limit_bytes: int = 0,
    features: GpuFeatures | None = None,
    withheld: Mapping[RungName, RungOutcome] | None = None,
) -> list[OpenBundle]:
    """Return what loads bundles on each device.

    Args:
        devices: Where to load them.
        threads: Threads of a run on the CPU; 0 for one per available core.
        cpu: What runs them on the CPU.
        memory_limit_bytes: Most memory of each GPU; 0 for no limit.
        features: Which rungs are tried on a GPU.
        withheld: Rungs that are not, because of what became of them in a trial.

    Raises:
        DeviceUnavailable: What was asked for cannot run here.
    """
    if not devices.on_gpu:
        return [CpuDevice(threads or available_cores(), cpu).open]
    return [
        CudaDevice(name, memory_limit_bytes=memory_limit_bytes, features=features, withheld=withheld).open
        for name in devices.names
    ]


def open_model(bundle: Bundle, devices: Devices, openers: Sequence[OpenBundle]) -> LoadedModel:
    """Open a checked bundle's tokenizer and graphs.

    Args:
        bundle: The bundle.
        devices: Where to load it.
        openers: What loads it on each device.

    Raises:
        BundleError: The tokenizer or a graph cannot be used.
    """
    tokenizer = Tokenizer.from_bundle(bundle)
    try:
        task = create_task(bundle.manifest, tokenizer)
    except BundleError as error:
        raise BundleError(f"{bundle.path(MANIFEST_FILE)}: {error}") from error
    misplaced = why_misplaced(bundle.name, bundle.manifest, devices)
    try:
        opened = [open_bundle_on(bundle) for open_bundle_on in openers]
    except BundleError as error:
        if misplaced is None:
            raise
        raise BundleError(f"{error}; {misplaced}") from error
    # They were opened by name, and what was compared with the hashes may have been replaced since.
    ensure_same_files(bundle.files)
    manifest = opened[0].manifest
    sessions = {attention: [own.sessions[attention] for own in opened] for attention in opened[0].sessions}
    logger.info("loaded model %s for %s", bundle.name, manifest.task)
    if misplaced is not None:
        logger.warning("%s", misplaced)
    return LoadedModel(
        bundle.name,
        manifest,
        task,
        sessions,
        devices,
        manifest.weights.bytes,
        bundle.files,
        bundle.revision,
        opened[0].runtime,
        opened[0].computes_in,
        ladders=tuple(own.ladder for own in opened if own.ladder is not None),
    )
