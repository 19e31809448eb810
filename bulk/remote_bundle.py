"""A bundle in an object store, copied to this machine once.

    CACHE/<revision>/<name>/    a copy that is complete, with the hashes of its manifest

The revision is the manifest's own hash, and the manifest has those of all files: another bundle under the same name is
another copy, and a copy that was damaged is noticed where the bundle is opened.
"""

import os
import shutil
import tempfile
from pathlib import Path

from bigbird_inference.bundle import manifest_revision, open_bundle, read_manifest
from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import MANIFEST_FILE
from bulk.errors import JobError
from bulk.object_store import download, is_stored, read_stored

_MAX_MANIFEST_BYTES = 4 * 2**20


def default_cache() -> Path:
    """Return where copies are kept if nothing else is said."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bigbird-serve"


def local_bundle(name: str, cache: Path | None = None) -> Path:
    """Return a bundle's folder on this machine; one in an object store is copied, unless it was before.

    Args:
        name: A folder, or `s3://bucket/folder`.
        cache: Where copies are kept.

    Raises:
        JobError: There is no bundle that can be used, or the store refuses.
    """
    if not is_stored(name):
        return Path(name)
    name, cache = name.rstrip("/"), cache or default_cache()
    own = name.rpartition("/")[2]
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".copying-") as copying:
            folder = Path(copying) / own
            folder.mkdir()
            content = read_stored(f"{name}/{MANIFEST_FILE}", _MAX_MANIFEST_BYTES + 1)
            (folder / MANIFEST_FILE).write_bytes(content)
            kept = cache / manifest_revision(folder) / own
            if not kept.is_dir():
                _complete(name, folder)
                kept.parent.mkdir(exist_ok=True)
                _move(folder, kept)
            return kept
    except FileNotFoundError as error:
        raise JobError(f"{name}: no bundle there: {error.strerror}; name the folder of a {MANIFEST_FILE}") from error
    except BundleError as error:
        raise JobError(f"{name}: no bundle that can be used: {error}".replace(f"{folder}/", "")) from error
    except OSError as error:
        if is_stored(str(error.filename)):
            raise JobError(f"{name}: cannot be read: {error.strerror}; see which credentials are set") from error
        raise JobError(f"{name}: cannot be copied to {cache}: {error.strerror or error}; name another place") from error


def _complete(name: str, folder: Path) -> None:
    """Copy the files of the manifest beside it, and compare them with their hashes."""
    for file in read_manifest(folder).files:
        download(f"{name}/{file.file}", folder / file.file)
    open_bundle(folder)


def _move(folder: Path, kept: Path) -> None:
    """Put a copy in its place, unless another process was first."""
    try:
        folder.rename(kept)
    except OSError:
        if not kept.is_dir():
            raise
        shutil.rmtree(folder)
