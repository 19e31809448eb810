"""The session that runs a bucket's graph on onnxruntime; the only module that knows onnxruntime."""

import logging
from collections.abc import Sequence
from dataclasses import fields
from functools import cache, partial
from pathlib import Path
from typing import Literal

import onnxruntime

from service.bundle import Manifest, Precision, Tensor
from service.errors import BundleError
from service.runtime.installed_runtimes import conflicting_runtimes
from service.runtime.session import Batch, OutOfMemory, Outputs, RunControl, RunTerminated

logger = logging.getLogger(__name__)

Device = Literal["auto", "cpu", "cuda"]

_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
_ELEMENT_TYPES = {"tensor(int64)": "int64", "tensor(float)": "float32"}
_SESSION_ENTRIES = {
    "session.use_env_allocators": "1",
    "session.force_spinning_stop": "1",
}
_BATCH_FIELDS = frozenset(field.name for field in fields(Batch))

# onnxruntime raises one of several unrelated classes for anything that ends a run; only the text tells what it was.
_TERMINATED = "terminate flag being set to true"
_NO_MEMORY = (
    "Failed to allocate memory",  # the arena, when its device gave it nothing
    "is smaller than requested bytes",  # the arena, when it has a limit
    "bad_alloc",  # the CPU without an arena
    "out of memory",  # the CUDA runtime and its libraries
    "ALLOC_FAILED",
)


class OnnxSession:
    """One bucket's graph, loaded.

    Args:
        session: The loaded graph.
    """

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._inputs = [entry.name for entry in session.get_inputs()]
        self._outputs = [entry.name for entry in session.get_outputs()]

    def run(self, batch: Batch, control: RunControl | None = None) -> Outputs:
        """Return every output by name, float32, batch axis first.

        Raises:
            RunTerminated: The control ended the run, or had been terminated before it.
            OutOfMemory: The device had no room for the batch.
            ValueError: The graph takes positions, and the batch has none.
        """
        feeds = {name: getattr(batch, name) for name in self._inputs}
        missing = [name for name, array in feeds.items() if array is None]
        if missing:
            raise ValueError(f"the graph takes {', '.join(missing)}, and the batch has none")
        options = onnxruntime.RunOptions()
        if control is not None:
            control.attach(partial(setattr, options, "terminate", True))
        try:
            arrays = self._session.run(self._outputs, feeds, options)
        except MemoryError as error:
            raise OutOfMemory(str(error)) from error
        except Exception as error:
            text = str(error)
            if _TERMINATED in text:
                raise RunTerminated(text) from error
            if any(words in text for words in _NO_MEMORY):
                raise OutOfMemory(text) from error
            raise
        return dict(zip(self._outputs, arrays, strict=True))


class DeviceUnavailable(Exception):
    """The asked device cannot run anything here."""


def execution_providers(device: Device) -> list[str]:
    """Return onnxruntime's execution providers for a device, the preferred first.

    Raises:
        DeviceUnavailable: CUDA was asked for by name and the installed onnxruntime was built without it, or several
            distributions of onnxruntime are installed over each other.
    """
    if (conflict := conflicting_runtimes()) is not None:
        raise DeviceUnavailable(conflict)
    cuda_built = _CUDA in onnxruntime.get_available_providers()
    if device == "cuda" and not cuda_built:
        raise DeviceUnavailable(
            "cuda was asked for, but this onnxruntime was built without it: install the extra `gpu`"
        )
    return [_CUDA, _CPU] if device != "cpu" and cuda_built else [_CPU]


def open_session(graph: Path, manifest: Manifest, *, device: Device, threads: int) -> OnnxSession:
    """Load a bucket's graph and check that its inputs and outputs are those of the manifest.

    Args:
        graph: The `.onnx` file.
        manifest: The manifest of its bundle.
        device: Where to run; `auto` means CUDA where it can be started, otherwise the CPU.
        threads: Threads within an operator on the CPU.

    Raises:
        BundleError: onnxruntime cannot load the graph, or it does not fit the manifest.
        DeviceUnavailable: CUDA was asked for by name and cannot be started.
    """
    try:
        providers = execution_providers(device)
        options = session_options(manifest.precision, threads, cpu_only=providers == [_CPU])
        session = onnxruntime.InferenceSession(str(graph), options, providers=providers)
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
    if unknown or not manifest.outputs:
        raise BundleError(f"{graph}: expected inputs among {sorted(_BATCH_FIELDS)} and at least one output")
    return OnnxSession(session)


def session_options(precision: Precision, threads: int, *, cpu_only: bool) -> onnxruntime.SessionOptions:
    """Return options with which all buckets of all models cost little more than the largest one.

    - The weights lie in a file beside the graph and are memory-mapped: one copy, in the page cache. Prepacking makes
      every session private copies of most of them. In fp32 they are large and save 2 to 6% of the time from 512 tokens
      on; in int8 they are a quarter as large and save 16 to 30%, so there they are made.
    - One arena serves all sessions. Only one of them runs at a time, and an arena keeps what it took: of its own, each
      would keep the memory of its largest batch. Without any, a run of 4,096 tokens takes 1.3 times as long.
    - No memory patterns: a pattern is one block as large as a whole run, which does not fit into what runs of other
      shapes left in the arena, so that it grows with every new shape. They save at most 3% of the time.
    - On the CPU a residual's sum and its normalisation stay two operators: both are vectorised, the fused one is a
      scalar loop, with which a run takes 1.06 (fp32) to 1.11 times (int8) as long.
    - Threads spin between the operators of a run, but not after it: there the cores belong to tokenising and decoding.
    """
    _share_one_arena()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.enable_mem_pattern = False
    for key, value in _SESSION_ENTRIES.items():
        options.add_session_config_entry(key, value)
    prepack = precision == "int8"
    options.add_session_config_entry("session.disable_prepacking", "0" if prepack else "1")
    if cpu_only:
        options.add_session_config_entry("optimization.disable_specified_optimizers", "SkipLayerNormFusion")
    return options


@cache
def _share_one_arena() -> None:
    """Register the arena that sessions with `session.use_env_allocators` take their memory from; once in a process."""
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    # Grown by powers of two, it holds few large regions, in which batches of all shapes find room. What a region has
    # and no run has touched yet is address space, not memory.
    growth = onnxruntime.OrtArenaCfg({"arena_extend_strategy": 0})
    onnxruntime.create_and_register_allocator(memory, growth)


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
