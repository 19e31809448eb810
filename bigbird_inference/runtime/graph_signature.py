"""Whether a loaded graph takes and gives what the manifest says, whatever runs it."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import Manifest, Tensor
from bigbird_inference.runtime.session import Batch

_BATCH_FIELDS = frozenset(field.name for field in fields(Batch))


def check_signature(graph: Path, manifest: Manifest, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
    """Check that a loaded graph's inputs and outputs are those of the manifest.

    Args:
        graph: Its file, for messages.
        manifest: The manifest of its bundle.
        inputs: Those of the graph, as its runtime tells them.
        outputs: Likewise.

    Raises:
        BundleError: They are not.
    """
    _check_tensors(graph, "input", manifest.inputs, inputs)
    _check_tensors(graph, "output", manifest.outputs, outputs)
    unknown = {tensor.name for tensor in manifest.inputs} - _BATCH_FIELDS
    if unknown or not manifest.outputs:
        raise BundleError(f"{graph}: expected inputs among {sorted(_BATCH_FIELDS)} and at least one output")


def _check_tensors(graph: Path, kind: str, described: Sequence[Tensor], found: Sequence[Tensor]) -> None:
    by_name = {tensor.name: tensor for tensor in found}
    if set(by_name) != {tensor.name for tensor in described}:
        names = sorted(tensor.name for tensor in described)
        raise BundleError(f"{graph}: its {kind}s are {sorted(by_name)}, the manifest says {names}")
    for tensor in described:
        own = by_name[tensor.name]
        if own.dtype != tensor.dtype or not _shapes_fit(tensor.shape, own.shape):
            raise BundleError(
                f"{graph}: {kind} {tensor.name} is {own.dtype} {own.shape}, the manifest says "
                f"{tensor.dtype} {tensor.shape}"
            )


def _shapes_fit(described: Sequence[int | str], found: Sequence[int | str]) -> bool:
    """Compare ranks and those axes that are numbers on both sides; the others are symbolic."""
    return len(described) == len(found) and all(
        wanted == actual
        for wanted, actual in zip(described, found, strict=True)
        if isinstance(wanted, int) and isinstance(actual, int)
    )
