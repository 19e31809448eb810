"""All buckets of a bundle, loaded on one device."""

from pathlib import Path
from typing import Protocol

from service.bundle import MANIFEST_FILE, Bundle, Manifest
from service.errors import BundleError
from service.runtime.session import Session


class SessionOpener(Protocol):
    """Opens one graph; `open_session` of the onnxruntime session with its device and threads bound."""

    def __call__(self, graph: Path, manifest: Manifest) -> Session:
        """Return the loaded graph."""
        ...


def open_sessions(bundle: Bundle, open_session: SessionOpener) -> dict[int, Session]:
    """Load every bucket of a bundle; keys are padded lengths, ascending.

    Raises:
        BundleError: A graph cannot be loaded, or the buckets do not partition the lengths as they must.
    """
    check_buckets(bundle)
    buckets = sorted(bundle.manifest.buckets, key=lambda bucket: bucket.length)
    return {bucket.length: open_session(bundle.path(bucket.file), bundle.manifest) for bucket in buckets}


def check_buckets(bundle: Bundle) -> None:
    """Check that the smallest bucket that holds a sequence is always one of the right attention kind.

    Raises:
        BundleError: Lengths repeat, no bucket holds the longest sequence, or full and block-sparse buckets do not
            meet at the longest sequence that needs full attention, `(5 + 2 * num_random_blocks) * block_size`.
    """
    manifest = bundle.manifest
    lengths = [bucket.length for bucket in manifest.buckets]
    full = [bucket.length for bucket in manifest.buckets if bucket.attention == "full"]
    block_sparse = [bucket.length for bucket in manifest.buckets if bucket.attention == "block_sparse"]
    file = bundle.path(MANIFEST_FILE)
    if len(set(lengths)) < len(lengths):
        raise BundleError(f"{file}: buckets: two have the same length")
    if max(lengths) < manifest.max_length:
        raise BundleError(f"{file}: buckets: none holds max_length {manifest.max_length}")
    if block_sparse:
        edge = (5 + 2 * manifest.model["num_random_blocks"]) * manifest.block_size
        if max(full, default=0) != edge or min(block_sparse) <= edge:
            raise BundleError(f"{file}: buckets: full and block_sparse must meet at {edge} tokens")
