"""The graphs of a bundle, loaded on one device: a session for each graph, which serves all its buckets."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from bigbird_inference.bundle import Bundle
from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import MANIFEST_FILE, Attention, AttentionKernelName, CpuPrecision, CpuRuntime, Manifest
from bigbird_inference.runtime.cuda.ladder import Ladder
from bigbird_inference.runtime.session import Session


class SessionOpener(Protocol):
    """Opens one graph; `open_session` of the onnxruntime session with its device and threads bound."""

    def __call__(self, graph: Path, manifest: Manifest) -> Session:
        """Return the loaded graph."""
        ...


class OpenedGraphs(NamedTuple):
    """A bundle's graphs on one device.

    Attributes:
        manifest: As it holds for what runs them there.
        sessions: By kind of attention; the same for both where they have one graph.
        runtime: What runs them.
        computes_in: What that computes in where a graph has float32.
        ladder: The rungs of a GPU; None on a CPU.
    """

    manifest: Manifest
    sessions: Mapping[Attention, Session]
    runtime: CpuRuntime = "onnxruntime"
    computes_in: CpuPrecision = "fp32"
    ladder: Ladder | None = None


def served_kernel(manifest: Manifest, preferred: AttentionKernelName) -> AttentionKernelName:
    """Return the attention kernel that a device serves: the one that it prefers, or the only one that there is."""
    return preferred if preferred in manifest.kernels else next(iter(manifest.kernels))


def open_sessions(bundle: Bundle, open_session: SessionOpener) -> OpenedGraphs:
    """Load the graphs that the buckets of a bundle need, of standard operators if there are such.

    Args:
        bundle: The bundle.
        open_session: Opens a graph.

    Raises:
        BundleError: A graph cannot be loaded, or the buckets do not partition the lengths as they must.
    """
    check_buckets(bundle)
    manifest = bundle.manifest
    kernel = served_kernel(manifest, "composed")
    files = {bucket.attention: manifest.graph(bucket.attention, kernel).file for bucket in manifest.buckets}
    sessions = {file: open_session(bundle.path(file), manifest) for file in dict.fromkeys(files.values())}
    return OpenedGraphs(manifest, {kind: sessions[file] for kind, file in files.items()})


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
