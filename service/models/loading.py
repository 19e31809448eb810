"""From a folder of bundles to loaded models: find, check, open.

Everything that can be wrong with a bundle's files is found here, before it serves.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from bigbird_inference import loaded_model
from bigbird_inference.bundle import Bundle, open_bundle
from bigbird_inference.errors import BundleError
from bigbird_inference.loaded_model import LoadedModel, OpenBundle, open_model
from bigbird_inference.manifest import Manifest
from bigbird_inference.memory import available_bytes
from bigbird_inference.runtime.cuda.probe import MachineProbe
from bigbird_inference.runtime.devices import Devices, DeviceUnavailable, choose
from bigbird_inference.runtime.session import OutOfMemory
from service.models.model_folder import bundle_folder, find_bundles, model_name, without_paths
from service.settings import InvalidSettings, Settings, environment_name

logger = logging.getLogger(__name__)

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
        bundles = dict(
            self._each({model_name(found): found for found in find_bundles(self._settings.models)}, open_bundle)
        )
        return {name: replace(model, name=name) for name, model in self._each(bundles, self._load)}

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
    """Return what loads bundles on each device, as the settings ask for it.

    Args:
        settings: The service's settings.
        devices: Where to load them.
    """
    return loaded_model.device_openers(
        devices,
        threads=settings.threads,
        memory_limit_bytes=settings.gpu_memory_limit_bytes,
        cuda_graphs=settings.cuda_graphs,
    )


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
