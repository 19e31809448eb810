"""From a folder of bundles to loaded models: find, check, open.

Everything that can be wrong with a bundle is found here, before the server listens.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from service.batching.buckets import ServedBucket
from service.bundle import MANIFEST_FILE, Bundle, Manifest, open_bundle
from service.errors import BundleError
from service.runtime.cores import available_cores
from service.runtime.onnx_session import DeviceUnavailable, open_session
from service.runtime.session import Session
from service.runtime.session_pool import open_sessions
from service.settings import InvalidSettings, Settings, environment_name
from service.tasks.base import Task
from service.tasks.registry import create_task
from service.tokenization.tokenizer import Tokenizer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A bundle that can be run.

    Attributes:
        name: By which requests ask for it: the bundle's folder name.
        manifest: What was exported.
        task: Encodes requests and decodes outputs.
        sessions: By padded length, ascending.
    """

    name: str
    manifest: Manifest
    task: Task[Any, Any]
    sessions: Mapping[int, Session]

    def buckets(self) -> list[ServedBucket]:
        """Return the buckets for the scheduler."""
        attention = {bucket.length: bucket.attention for bucket in self.manifest.buckets}
        return [
            ServedBucket(
                self.name,
                length,
                session,
                self.manifest.tokenizer.pad_id,
                takes_positions=any(tensor.name == "positions" for tensor in self.manifest.inputs),
                attention=attention[length],
                position_bytes=_position_bytes(self.manifest),
                max_items=self.manifest.max_batch_items,
            )
            for length, session in self.sessions.items()
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


def load_models(settings: Settings) -> dict[str, LoadedModel]:
    """Load every bundle under the configured folder, by name.

    Raises:
        BundleError: A bundle cannot be served; the message names the file.
        InvalidSettings: The asked device is not there.
    """
    models: dict[str, LoadedModel] = {}
    for folder in find_bundles(settings.models):
        model = load_model(open_bundle(folder), settings)
        if model.name in models:
            raise BundleError(f"{folder}: another bundle is named {model.name!r} already")
        models[model.name] = model
    return models


def load_model(bundle: Bundle, settings: Settings) -> LoadedModel:
    """Open a checked bundle's tokenizer and graphs.

    Raises:
        BundleError: The tokenizer or a graph cannot be used.
        InvalidSettings: The asked device is not there.
    """
    opener = partial(open_session, device=settings.device, threads=settings.threads or available_cores())
    tokenizer = Tokenizer.from_bundle(bundle)
    try:
        task = create_task(bundle.manifest, tokenizer)
    except BundleError as error:
        raise BundleError(f"{bundle.path(MANIFEST_FILE)}: {error}") from error
    try:
        sessions = open_sessions(bundle, opener)
    except DeviceUnavailable as error:
        raise InvalidSettings(f"{environment_name('device')}: {error}") from error
    logger.info("loaded model %s for %s with buckets %s", bundle.name, bundle.manifest.task, list(sessions))
    return LoadedModel(bundle.name, bundle.manifest, task, sessions)
