"""The session that runs a graph on onnxruntime, on the CPU; `bigbird_inference.runtime.cuda` has that of a GPU."""

import logging
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path

from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import Manifest, Tensor
from bigbird_inference.runtime.devices import CPU, DeviceUnavailable
from bigbird_inference.runtime.external_data import check_external_data
from bigbird_inference.runtime.graph_signature import check_signature
from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime
from bigbird_inference.runtime.session import Batch, Outputs, RunControl, meaning_of

logger = logging.getLogger(__name__)

_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
_ELEMENT_TYPES = {"tensor(int64)": "int64", "tensor(float)": "float32"}


class OnnxSession:
    """One graph, loaded.

    Args:
        session: The loaded graph.
        run_config: Entries of the options of every run.
    """

    def __init__(self, session: onnxruntime.InferenceSession, run_config: Mapping[str, str] | None = None) -> None:
        self._session = session
        self._run_config = run_config or {}
        self._inputs = [entry.name for entry in session.get_inputs()]
        self._outputs = [entry.name for entry in session.get_outputs()]

    def run(self, batch: Batch, control: RunControl | None = None) -> Outputs:
        """Return every output by name, float32, batch axis first.

        Raises:
            RunTerminated: The control ended the run, or had been terminated before it.
            OutOfMemory: The device had no room for the batch.
            ValueError: The graph takes positions, and the batch has none.
        """
        feeds = batch.feeds(self._inputs)
        options = onnxruntime.RunOptions()
        for key, value in self._run_config.items():
            options.add_run_config_entry(key, value)
        if control is not None:
            control.attach(partial(setattr, options, "terminate", True))
        try:
            arrays = self._session.run(self._outputs, feeds, options)
        except Exception as error:
            meaning = meaning_of(error)
            if meaning is None:
                raise
            raise meaning from error
        return dict(zip(self._outputs, arrays, strict=True))


def execution_providers(device: str) -> list[str | tuple[str, dict[str, str]]]:
    """Return onnxruntime's execution providers for a device, the preferred first.

    Args:
        device: `cpu`, `cuda` or `cuda:N`.

    Raises:
        DeviceUnavailable: A GPU was asked for and the installed onnxruntime was built without CUDA.
    """
    if device == CPU:
        return [_CPU]
    if _CUDA not in onnxruntime.get_available_providers():
        raise DeviceUnavailable(f"{device} was asked for, but this onnxruntime was built without CUDA")
    return [(_CUDA, {"device_id": device.partition(":")[2] or "0", "use_tf32": "0"}), _CPU]


def open_session(graph: Path, manifest: Manifest, *, device: str, threads: int, own_arena: bool = False) -> OnnxSession:
    """Load a graph and check that its inputs and outputs are those of the manifest.

    Args:
        graph: The `.onnx` file.
        manifest: The manifest of its bundle.
        device: `cpu`, `cuda` or `cuda:N`.
        threads: Threads within an operator on the CPU.
        own_arena: Whether its memory is apart from that of other sessions, so that it can be measured.

    Raises:
        BundleError: onnxruntime cannot load the graph, it does not fit the manifest, or it would read another file than
            the weights.
        DeviceUnavailable: A GPU was asked for and cannot be started.
    """
    providers = execution_providers(device)
    check_external_data(graph, manifest.weights.file)
    try:
        options = session_options(threads, cpu_only=device == CPU, shared_allocators=not own_arena)
        session = onnxruntime.InferenceSession(str(graph), options, providers=providers)
    except Exception as error:
        # onnxruntime's exception classes share no public base.
        raise BundleError(f"{graph}: onnxruntime cannot load it: {error}") from error
    provider = session.get_providers()[0]
    if device != CPU and provider != _CUDA:
        raise DeviceUnavailable(f"{device} was asked for, but onnxruntime could not start it on this machine")
    # Where bundles lie is nobody's business who reads a log.
    logger.info("loaded %s/%s on %s", graph.parent.name, graph.name, provider)
    check_graph(graph, manifest, session)
    return OnnxSession(session)


def check_graph(graph: Path, manifest: Manifest, session: onnxruntime.InferenceSession) -> None:
    """Check that a loaded graph's inputs and outputs are those of the manifest.

    Raises:
        BundleError: They are not.
    """
    check_signature(graph, manifest, _tensors(session.get_inputs()), _tensors(session.get_outputs()))


def _tensors(arguments: Sequence[onnxruntime.NodeArg]) -> list[Tensor]:
    return [
        Tensor(argument.name, _ELEMENT_TYPES.get(argument.type, argument.type), list(argument.shape))
        for argument in arguments
    ]


def session_options(threads: int, *, cpu_only: bool, shared_allocators: bool = True) -> onnxruntime.SessionOptions:
    """Return options with which a document's numbers depend on nothing but the document, and shapes cost little.

    - The weights lie in a file beside the graph, and each session packs a copy of most of them for its products. Only
      packed, products give the same bits for a row whatever the number of rows and threads: unpacked, onnxruntime sums
      a single row, and some shapes, in another order (differences of 5e-7).
    - One arena serves all sessions. Only one of them runs at a time, and an arena keeps what it took: of its own, each
      would keep the memory of its largest batch. Without any, a run of 4,096 tokens takes 1.3 times as long.
    - No memory patterns: a pattern is one block as large as a whole run, which does not fit into what runs of other
      shapes left in the arena, so that it grows with every new shape. They save at most 3% of the time.
    - On the CPU a residual's sum and its normalisation stay two operators: both are vectorised, the fused one is a
      scalar loop, with which a run takes 1.06 (fp32) to 1.11 times (int8) as long.
    - Threads spin between the operators of a run, but not after it: there the cores belong to tokenising and decoding.

    Args:
        threads: Threads within an operator on the CPU.
        cpu_only: Whether nothing runs elsewhere.
        shared_allocators: Whether the arenas that were registered for the process are used.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # Not onnxruntime's own format, which names files in places that `external_data` does not look at.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    if shared_allocators:
        _share_one_arena()
        options.add_session_config_entry("session.use_env_allocators", "1")
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
