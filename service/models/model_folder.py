"""The folder of bundles: from a model's name to a place on disk, and never to one outside.

Whoever manages models over HTTP names them and knows no paths. So a name is one entry of the folder, and no message
that is answered tells where the folder is.
"""

import re
from pathlib import Path

from bigbird_inference.bundle import instead_of_a_bundle
from bigbird_inference.errors import BundleError, ModelNotFound
from bigbird_inference.manifest import MANIFEST_FILE
from service.settings import MODEL_NAME_PATTERN, environment_name

_NAME = re.compile(MODEL_NAME_PATTERN)
# What comes before the last part of an absolute path.
_ABSOLUTE = re.compile(r"(?<![\w./~-])/(?:[^\s/:'\"]+/)*")
_LONGEST_MESSAGE = 500


def find_bundles(folder: Path, only_name: str | None = None) -> dict[str, Path]:
    """Return the folder itself if it is a bundle, otherwise every bundle directly in it, by the models' names.

    Args:
        folder: The folder of models.
        only_name: What the model is called if the folder is a bundle, or None for the folder's own name.

    Raises:
        BundleError: There is none, or a name is given and the folder is not a bundle.
    """
    if (folder / MANIFEST_FILE).is_file():
        return {only_name or model_name(folder): folder}
    # Names that begin with a dot are unfinished exports, or somebody's housekeeping.
    found = sorted(path.parent for path in folder.glob(f"[!.]*/{MANIFEST_FILE}"))
    if not found:
        raise BundleError(f"{folder.absolute()}: {instead_of_a_bundle(folder)}")
    if only_name is not None:
        raise BundleError(
            f"{folder.absolute()}: a folder of bundles, which have names of their own; unset "
            f"{environment_name('model_name')}, or set {environment_name('models')} to one of them"
        )
    return {model_name(bundle): bundle for bundle in found}


def model_name(folder: Path) -> str:
    """Return the name of the bundle in a folder: as it is called where it was found, also if that is a link."""
    return folder.name if folder.name not in ("", "..") else folder.resolve().name


def bundle_folder(models: Path, name: str, only_name: str | None = None) -> Path:
    """Return where the bundle of a name is.

    A link is followed if it ends inside the folder of bundles, which may itself be one.

    Args:
        models: The folder of models.
        name: The model's name.
        only_name: As `find_bundles` takes it.

    Raises:
        ModelNotFound: No bundle of that name is in the folder.
    """
    inside = models.resolve()
    if (models / MANIFEST_FILE).is_file():
        folder, allowed = inside, name == (only_name or model_name(models))
    else:
        folder = (inside / name).resolve()
        allowed = _NAME.fullmatch(name) is not None and folder.is_relative_to(inside) and folder != inside
    if not allowed or not folder.is_dir():
        raise ModelNotFound(f"There is no bundle {name!r} in the folder of models.")
    return folder


def without_paths(message: str, models: Path) -> str:
    """Return the first line of a message, with paths relative to the folder of bundles, and no others."""
    lines = message.splitlines() or [""]
    line = lines[0]
    for folder in {str(models.resolve()), str(models.absolute())}:
        line = line.replace(f"{folder}/", "").replace(folder, "the folder of models")
    return _ABSOLUTE.sub("", line)[:_LONGEST_MESSAGE]
