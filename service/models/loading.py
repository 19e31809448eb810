"""From a folder of bundles to loaded models: find, check, try, open.

Everything that can be wrong with a bundle's files is found here, before it serves. What its graphs do is bounded by
`bigbird_inference.trial`: in a process of its own if something else is to go on serving afterwards, and in this one at
a start (`within_limits`), where there is nothing to be protected yet and a trial would take half as long as the start.
On a GPU nothing bounds its memory; the clock bounds the trial of what is clever there (`bigbird_inference.gpu_trial`).
"""

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from bigbird_inference import loaded_model
from bigbird_inference.bundle import Bundle, open_bundle
from bigbird_inference.errors import BundleError
from bigbird_inference.gpu_trial import try_rungs
from bigbird_inference.host_memory import available_bytes
from bigbird_inference.known_answer import run_unasked_ends
from bigbird_inference.loaded_model import LoadedModel, OpenBundle, open_model
from bigbird_inference.manifest import Manifest
from bigbird_inference.runtime.cpu_runtime_choice import CpuChoice
from bigbird_inference.runtime.cuda.features import GpuFeatures, RungName, RungOutcome
from bigbird_inference.runtime.cuda.nvml import gpu_memory
from bigbird_inference.runtime.cuda.probe import MachineProbe
from bigbird_inference.runtime.devices import Devices, DeviceUnavailable, choose
from bigbird_inference.runtime.session import OutOfMemory, meaning_of
from bigbird_inference.trial import Watch, limits_of, try_bundle
from service.models.model_folder import bundle_folder, find_bundles, without_paths
from service.settings import InvalidSettings, Settings, environment_name

logger = logging.getLogger(__name__)

_FAILED = 1
_LOOK_SECONDS = 0.05

SourceT = TypeVar("SourceT")
ResultT = TypeVar("ResultT")


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
        self.failures: dict[str, str] = {}

    def load_all(self) -> dict[str, LoadedModel]:
        """Load every bundle under the configured folder, by name.

        Where failed models are allowed, those that cannot be served are left out, and `failures` says why.

        Raises:
            BundleError: A bundle cannot be served, or none can; the message names the file.
            InvalidSettings: The asked device is not there.
        """
        # All are checked before the first is loaded, which takes longer.
        found = find_bundles(self._settings.models, self._settings.model_name)
        bundles = dict(self._each(found, open_bundle))
        # A process that has to be ended serves none of the others either.
        try_first = self._settings.allow_failed_models and len(bundles) > 1
        load = self._try_and_load if try_first else self._load_within_limits
        return {name: replace(model, name=name) for name, model in self._each(bundles, load)}

    def _each(
        self, sources: Mapping[str, SourceT], step: Callable[[SourceT], ResultT]
    ) -> Iterator[tuple[str, ResultT]]:
        """Do a step for each model, and leave out those for which it fails, if that is allowed and another is left."""
        failed = 0
        for name, source in sources.items():
            try:
                yield name, step(source)
            except BundleError as error:
                failed += 1
                if not self._settings.allow_failed_models or failed == len(sources):
                    raise
                logger.error("model %s is not served: %s", name, error)
                self.failures[name] = without_paths(str(error), self._settings.models)

    def load(self, name: str, given_up: threading.Event) -> LoadedModel:
        """Try and load the bundle of a name beside what is served; another thread's work, because it takes seconds.

        Args:
            name: The bundle.
            given_up: Ends the trial when it is set.

        Raises:
            ModelNotFound: No bundle of that name is in the folder.
            BundleError: It cannot be served.
            OutOfMemory: There is no room for it.
        """
        bundle = open_bundle(bundle_folder(self._settings.models, name, self._settings.model_name))
        self._ensure_room(bundle.manifest)
        return replace(self._try_and_load(bundle, given_up), name=name)

    def _try_and_load(self, bundle: Bundle, given_up: threading.Event | None = None) -> LoadedModel:
        given_up = given_up or threading.Event()
        if self._chosen_devices().on_gpu:
            return self._load_on_gpu(bundle, given_up)
        try_bundle(bundle, self._settings.threads, cpu_choice(self._settings), given_up)
        return self._load(bundle)

    def _load_within_limits(self, bundle: Bundle) -> LoadedModel:
        if self._chosen_devices().on_gpu:
            return self._load_on_gpu(bundle, threading.Event())
        with within_limits(bundle.folder, bundle.manifest):
            model = self._load(bundle)
            run_unasked_ends(model.manifest, {attention: own[0] for attention, own in model.sessions.items()})
        return model

    def _load_on_gpu(self, bundle: Bundle, given_up: threading.Event) -> LoadedModel:
        """Try the rungs on the first GPU, which the others are like, and load the bundle with those that are sound."""
        devices, settings = self._chosen_devices(), self._settings
        features = GpuFeatures.parse(settings.gpu_features)
        tried: Sequence[RungOutcome] = ()
        try:
            if features.rungs:
                limit = settings.gpu_memory_limit_bytes
                tried = try_rungs(bundle, devices.names[0], features, given_up, memory_limit_bytes=limit)
            withheld = {outcome.rung: outcome for outcome in tried if outcome.state != "on"}
            return open_model(bundle, devices, device_openers(settings, devices, withheld))
        except BundleError as error:
            if not isinstance(meaning_of(error), OutOfMemory):
                raise
            raise BundleError(f"{error}; {memory_words(devices.names[0])}") from OutOfMemory(str(error))

    def _load(self, bundle: Bundle) -> LoadedModel:
        devices = self._chosen_devices()
        if self._openers is None:
            self._openers = device_openers(self._settings, devices)
        return load_model(bundle, self._settings, devices, self._openers)

    def _chosen_devices(self) -> Devices:
        if self._devices is None:
            self._devices = choose_devices(self._settings)
        return self._devices

    def _ensure_room(self, manifest: Manifest) -> None:
        """Refuse what would make the system end the process; on a GPU, its own allocation fails instead."""
        if self._devices is not None and self._devices.on_gpu:
            return
        available = available_bytes()
        if available is not None and available < manifest.weights.bytes:
            raise OutOfMemory(f"the weights take {manifest.weights.bytes} bytes, and {available} are available")


def memory_words(gpu: str) -> str:
    """Return how full a GPU is, for whoever finds no room there."""
    memory = gpu_memory(gpu)
    free, used = memory.free_bytes(), memory.anonymous_bytes()
    if free is None or used is None:
        return "`nvidia-smi` shows what else uses the GPU"
    return (
        f"{free / 2**30:.1f} of {(free + used) / 2**30:.1f} GiB of {gpu} are free; `nvidia-smi` shows what else uses "
        "it: end that, or choose another GPU with BIGBIRD_DEVICE"
    )


@contextlib.contextmanager
def within_limits(named: Path | str, manifest: Manifest) -> Iterator[None]:
    """End this process with one line if what is done with a bundle goes beyond the limits of a trial.

    For a start, whose process has nothing else to do: what loops or eats memory in onnxruntime ends in no other way.

    Args:
        named: The bundle's folder, or its model's name.
        manifest: What its graphs may take stands there.
    """
    over = threading.Event()
    watch = Watch(os.getpid(), limits_of(manifest, available_bytes()))

    def look() -> None:
        while not over.wait(_LOOK_SECONDS):
            error = watch.beyond()
            if error is not None:
                logger.critical("%s: %s", named, error)
                logging.shutdown()
                os._exit(_FAILED)

    looking = threading.Thread(target=look, name="start limits", daemon=True)
    looking.start()
    try:
        yield
    finally:
        over.set()
        looking.join()


def load_models(settings: Settings, devices: Devices | None = None) -> dict[str, LoadedModel]:
    """Load every bundle under the configured folder on every device, by name; see `ModelLoader.load_all`.

    Args:
        settings: The service's settings.
        devices: Where to load them, or None to choose by the settings.
    """
    return ModelLoader(settings, devices).load_all()


def device_openers(
    settings: Settings, devices: Devices, withheld: Mapping[RungName, RungOutcome] | None = None
) -> list[OpenBundle]:
    """Return what loads bundles on each device, as the settings ask for it.

    Args:
        settings: The service's settings.
        devices: Where to load them.
        withheld: Rungs of a GPU that a trial has found wanting.

    Raises:
        InvalidSettings: The runtime or the precision that they name cannot be used; the message says why.
    """
    try:
        return loaded_model.device_openers(
            devices,
            threads=settings.threads,
            cpu=cpu_choice(settings),
            memory_limit_bytes=settings.gpu_memory_limit_bytes,
            features=GpuFeatures.parse(settings.gpu_features),
            withheld=withheld,
        )
    except DeviceUnavailable as error:
        name = "cpu_precision" if settings.cpu_runtime == "auto" else "cpu_runtime"
        raise InvalidSettings(f"{environment_name(name)}: {error}") from error


def cpu_choice(settings: Settings) -> CpuChoice:
    """Return what the settings say of the CPU."""
    return CpuChoice(settings.cpu_runtime, settings.cpu_precision)


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
    devices = choose_devices(settings) if devices is None else devices
    return open_model(bundle, devices, openers or device_openers(settings, devices))
