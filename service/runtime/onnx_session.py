"""The session that runs a bucket's graph on onnxruntime; the only module that knows onnxruntime."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal, cast

import numpy as np
import onnxruntime

from service.bundle import Manifest, Tensor
from service.errors import BundleError
from service.runtime.session import Batch, Float32Array

logger = logging.getLogger(__name__)

Device = Literal["auto", "cpu", "cuda"]

_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
_ELEMENT_TYPES = {"tensor(int64)": "int64", "tensor(float)": "float32"}
_BATCH_FIELDS = frozenset(asdict(Batch(*[np.zeros((1, 1), np.int64)] * 3)))


class OnnxSession:
    """One bucket's graph, loaded.

    Args:
        session: The loaded graph.
        output: Name of the logits.
    """

    def __init__(self, session: onnxruntime.InferenceSession, output: str) -> None:
        self._session = session
        self._output = output
        self._inputs = [entry.name for entry in session.get_inputs()]

    def run(self, batch: Batch) -> Float32Array:
        """Return the logits, float32, batch axis first."""
        feeds = {name: getattr(batch, name) for name in self._inputs}
        return cast(Float32Array, self._session.run([self._output], feeds)[0])


class DeviceUnavailable(Exception):
    """The asked device cannot run anything here."""


def execution_providers(device: Device) -> list[str]:
    """Return onnxruntime's execution providers for a device, the preferred first.

    Raises:
        DeviceUnavailable: CUDA was asked for by name and the installed onnxruntime was built without it.
    """
    cuda_built = _CUDA in onnxruntime.get_available_providers()
    if device == "cuda" and not cuda_built:
        raise DeviceUnavailable(
            "cuda was asked for, but this onnxruntime was built without it: install the extra `gpu`"
        )
    return [_CUDA, _CPU] if device != "cpu" and cuda_built else [_CPU]


def open_session(graph: Path, manifest: Manifest, *, device: Device, threads: int) -> OnnxSession:
    """Load a bucket's graph and check that its inputs and outputs are those of the manifest.

    The weights lie in a file beside the graph. It is memory-mapped, so all buckets share one copy; prepacking would
    give each bucket a private copy of most weights again (1,565 MB against 883 MB for three buckets of the base
    model) for at most a tenth of the time.

    Args:
        graph: The `.onnx` file.
        manifest: The manifest of its bundle.
        device: Where to run; `auto` means CUDA where it can be started, otherwise the CPU.
        threads: Threads within an operator on the CPU.

    Raises:
        BundleError: onnxruntime cannot load the graph, or it does not fit the manifest.
        DeviceUnavailable: CUDA was asked for by name and cannot be started.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        session = onnxruntime.InferenceSession(str(graph), options, providers=execution_providers(device))
    except DeviceUnavailable:
        raise
    except Exception as error:
        # onnxruntime's exception classes share no public base.
        raise BundleError(f"{graph}: onnxruntime cannot load it: {error}") from error
    provider = session.get_providers()[0]
    if device == "cuda" and provider != _CUDA:
        raise DeviceUnavailable("cuda was asked for, but onnxruntime could not start it on this machine")
    logger.info("loaded %s on %s", graph, provider)
    _check_tensors(graph, "input", manifest.inputs, session.get_inputs())
    _check_tensors(graph, "output", manifest.outputs, session.get_outputs())
    unknown = {tensor.name for tensor in manifest.inputs} - _BATCH_FIELDS
    if unknown or len(manifest.outputs) != 1:
        raise BundleError(f"{graph}: expected inputs among {sorted(_BATCH_FIELDS)} and one output")
    return OnnxSession(session, manifest.outputs[0].name)


def _check_tensors(graph: Path, kind: str, described: Sequence[Tensor], found: Sequence[onnxruntime.NodeArg]) -> None:
    by_name = {entry.name: entry for entry in found}
    if set(by_name) != {tensor.name for tensor in described}:
        names = sorted(tensor.name for tensor in described)
        raise BundleError(f"{graph}: its {kind}s are {sorted(by_name)}, the manifest says {names}")
    for tensor in described:
        entry = by_name[tensor.name]
        dtype = _ELEMENT_TYPES.get(entry.type, entry.type)
        if dtype != tensor.dtype or not _shapes_fit(tensor.shape, entry.shape):
            raise BundleError(
                f"{graph}: {kind} {tensor.name} is {dtype} {entry.shape}, the manifest says "
                f"{tensor.dtype} {tensor.shape}"
            )


def _shapes_fit(described: Sequence[int | str], found: Sequence[int | str | None]) -> bool:
    """Compare ranks and those axes that are numbers on both sides; the others are symbolic."""
    return len(described) == len(found) and all(
        wanted == actual
        for wanted, actual in zip(described, found, strict=True)
        if isinstance(wanted, int) and isinstance(actual, int)
    )
